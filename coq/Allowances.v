(** * The allowances of lbrs/rounding.py

Each definition is the formula of the function with the same name. Where the function rounds as
well, by a few eps of its result, the code adds that; here arithmetic is exact unless it says so. *)

From Coq Require Import Reals Lra Lia Psatz.
From LBRS Require Import Space Radii Neighbours Rounding.
Open Scope R_scope.

(** ** Affine scores *)

Definition TINY : R := / 2 ^ 1020.
Definition affine_scores (sizes d : R) : R := (d + 3 / 2) * eps * sizes + d * TINY.
Definition affine_slope (d : R) : R := (d + 4) * eps.

Section Affine.
Variable d : nat.
Hypothesis d_pos : (1 <= d)%nat.

(** Silent in the code: with more features the constant 3/2 would not do. *)
Hypothesis d_few : INR (S d) <= 2 ^ 25.
Notation n := (S d).
Notation q := (INR (S d) * u).

Lemma eps_is : eps = 2 * u.
Proof. unfold eps, u. simpl. field. Qed.

Lemma TINY_is : TINY = 2 ^ 55 * eta.
Proof.
  unfold TINY, eta.
  replace (2 ^ 1075) with (2 ^ 55 * 2 ^ 1020) by (rewrite <- pow_add; reflexivity).
  pose proof (pow_lt 2 55 ltac:(lra)). pose proof (pow_lt 2 1020 ltac:(lra)). field.
Qed.

Lemma u_small : u * 2 ^ 53 = 1.
Proof. unfold u. apply Rinv_l, pow_nonzero. lra. Qed.

Lemma q_small : 0 < q /\ q * 2 ^ 28 <= 1 /\ u <= q.
Proof.
  pose proof u_pos. pose proof u_small as is. pose proof (le_INR 1 n ltac:(lia)) as one.
  simpl in one. replace (2 ^ 53) with (2 ^ 25 * 2 ^ 28) in is by (rewrite <- pow_add; reflexivity).
  pose proof (pow_lt 2 28 ltac:(lra)) as p. set (a := 2 ^ 28) in *. set (b := 2 ^ 25) in *.
  change (match d with 0%nat => 1 | S _ => INR d + 1 end) with (INR n) in *.
  split; [nra |]. split; [| nra]. assert (0 < u * a) by nra. nra.
Qed.

Lemma q_tiny : q <= 1 / 1000.
Proof.
  destruct q_small as (_ & less & _).
  replace (2 ^ 28) with 268435456 in less by (simpl; ring). lra.
Qed.

Lemma enough_share : 2 * INR n <= (2 * INR n + 1) * (1 - 2 * q) * ((1 - u) * (1 - u)).
Proof.
  destruct q_small as (q_pos & q_less & u_less). pose proof u_pos.
  pose proof (le_INR 1 n ltac:(lia)) as one. change (INR 1) with 1 in one.
  assert (Nq : INR n * q <= 1 / 8).
  { replace (2 ^ 28) with (2 ^ 25 * 8) in q_less by (simpl; ring).
    assert (INR n * q <= 2 ^ 25 * q) by (apply Rmult_le_compat_r; lra). lra. }
  pose proof q_tiny as q_tiny.
  set (N := INR n) in *. set (p := N * u) in *.
  assert (1 - 2 * u <= (1 - u) * (1 - u)) by nra.
  assert ((2 * N + 1) * (2 * p + 2 * u) <= 1) by (unfold p in *; nra).
  assert (0 <= (2 * N + 1) * (1 - 2 * p)) by nra.
  apply Rle_trans with ((2 * N + 1) * (1 - 2 * p) * (1 - 2 * u)); [nra |].
  apply Rmult_le_compat_l; assumption.
Qed.

Lemma enough_tiny : 3 * underflow n <= (1 - u) * (INR d * TINY - eta).
Proof.
  destruct q_small as (q_pos & q_less & u_less). pose proof u_pos. pose proof eta_pos.
  pose proof (growth_bound n) as grown. pose proof (le_INR 1 d d_pos) as one.
  change (INR 1) with 1 in one. pose proof q_tiny as q_tiny.
  unfold underflow. rewrite TINY_is. unfold growth in grown.
  replace (1 + ((1 + u) ^ n - 1)) with ((1 + u) ^ n) in grown by ring.
  pose proof (pow_lt (1 + u) n ltac:(lra)) as power. set (P := (1 + u) ^ n) in *.
  assert (P <= 2) by nra. pose proof (S_INR d) as N_is.
  set (N := INR n) in *. set (D := INR d) in *.
  assert (lost : N * eta * P <= 4 * (D * eta)).
  { rewrite N_is. assert (0 <= (D + 1) * eta) by nra. nra. }
  assert (eta <= D * eta) by nra.
  replace (2 ^ 55) with 36028797018963968 by (simpl; ring). nra.
Qed.

(** [score] and [there] are the computed w^T x + b at x and at z, [sizes] the computed
sum |w_i x_i| + |b|, all in any order; [a] is the computed allowance. *)
Theorem affine_scores_enough tx tz ts score there sizes p a reach :
  terms tx = n -> terms tz = n -> terms ts = n ->
  exact ts = size tx -> size ts = size tx -> size tz <= size tx + reach -> 0 <= reach ->
  computes tx score -> computes tz there -> computes ts sizes -> 0 <= sizes ->
  rounds ((INR d + 3 / 2) * eps * sizes) p -> rounds_sum (p + INR d * TINY) a ->
  Rabs (score - exact tx) + Rabs (there - exact tz) <= a + affine_slope (INR d) * reach.
Proof.
  intros nx nz ns is_size size_is longer reach_pos cx cz cs s_pos p_is a_is.
  pose proof (sum_error tx score cx) as ex. pose proof (sum_error tz there cz) as ez.
  pose proof (sum_error ts sizes cs) as es. rewrite nx in ex. rewrite nz in ez.
  rewrite ns, is_size, size_is in es. unfold affine_slope. rewrite eps_is in *.
  pose proof (rounds_error _ _ p_is) as ep. pose proof (rounds_sum_error _ _ a_is) as ea.
  pose proof enough_share as share. pose proof enough_tiny as tiny. pose proof u_pos as u_pos.
  destruct q_small as (q_pos & q_less & u_less). pose proof (growth_bound n) as grown.
  pose proof (growth_pos n) as y_pos. pose proof q_tiny as q_tiny.
  assert (N_is : INR n = INR d + 1) by apply S_INR. pose proof eta_pos as eta_pos.
  assert (D_pos : 1 <= INR d) by (apply (le_INR 1), d_pos).
  assert (under : 0 <= underflow n).
  { unfold underflow. pose proof (pow_lt (1 + u) n ltac:(lra)).
    apply Rmult_le_pos; [apply Rmult_le_pos |]; lra. }
  assert (tiny_pos : 0 <= INR d * TINY - eta).
  { apply Rmult_le_reg_l with (1 - u); lra. }
  set (y := growth n) in *. set (o := underflow n) in *. set (X := size tx) in *.
  set (N := INR n) in *. set (D := INR d) in *. set (Q := N * u) in *.
  assert (X_pos : 0 <= X)
    by (unfold X; pose proof (size_bounds tx); pose proof (Rabs_pos (exact tx)); lra).
  assert (y_small : y * (1 - Q) <= Q) by nra.
  assert (known : (1 - y) * X <= sizes + o) by (split_Rabs; lra).
  assert (twice : (1 - 2 * Q) * (y * X) <= Q * (sizes + o)).
  { assert (y * (1 - 2 * Q) <= Q * (1 - y)) by nra.
    apply Rle_trans with (Q * ((1 - y) * X)); [nra |]. apply Rmult_le_compat_l; lra. }
  set (c := (2 * N + 1) * u).
  replace ((D + 3 / 2) * (2 * u)) with c in * by (unfold c; rewrite N_is; field).
  assert (main : 2 * (y * X) <= (1 - u) * (1 - u) * (c * sizes) + o).
  { apply Rmult_le_reg_l with (1 - 2 * Q); [lra |].
    assert (2 * Q * sizes <= (1 - 2 * Q) * ((1 - u) * (1 - u)) * (c * sizes)).
    { replace (2 * Q * sizes) with (2 * N * (u * sizes)) by (unfold Q; ring).
      replace ((1 - 2 * Q) * ((1 - u) * (1 - u)) * (c * sizes))
        with ((2 * N + 1) * (1 - 2 * Q) * ((1 - u) * (1 - u)) * (u * sizes)) by (unfold c; ring).
      apply Rmult_le_compat_r; [nra | exact share]. }
    assert (2 * Q * o <= (1 - 2 * Q) * o) by nra. nra. }
  assert (cs_pos : 0 <= c * sizes) by (unfold c; assert (0 <= u * sizes) by nra; nra).
  assert (p_low : (1 - u) * (c * sizes) - eta <= p).
  { rewrite (Rabs_right (c * sizes)) in ep by lra. split_Rabs; lra. }
  assert (sum_pos : 0 <= p + D * TINY) by nra.
  assert (a_low : (1 - u) * (p + D * TINY) <= a).
  { rewrite (Rabs_right (p + D * TINY)) in ea by lra. split_Rabs; lra. }
  assert ((1 - u) * ((1 - u) * (c * sizes) - eta + D * TINY) <= a).
  { apply Rle_trans with (2 := a_low). apply Rmult_le_compat_l; lra. }
  assert (y * reach <= (D + 4) * (2 * u) * reach).
  { apply Rmult_le_compat_r; [lra |]. unfold Q in *. rewrite N_is in *. nra. }
  assert (y * size tz <= y * X + y * reach) by nra.
  nra.
Qed.

End Affine.

(** ** Scores with a known share of error *)

(** [f] is a computed [v], off by at most a share [s] of 1 + |v|. *)
Definition within (s v f : R) : Prop := Rabs (f - v) <= s * (1 + Rabs v).

Definition least (f s : R) : R :=
  if Rle_dec 0 (f - s) then (f - s) / (1 + s) else (f - s) / (1 - s).

(** No true value is below it, *)
Theorem least_is_below f v s : 0 <= s < 1 -> within s v f -> least f s <= v.
Proof.
  intros share near. unfold within in near. unfold least.
  destruct (Rle_dec 0 (f - s)) as [pos | neg].
  - apply Rmult_le_reg_r with (1 + s); [lra |]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra.
    split_Rabs; nra.
  - apply Rmult_le_reg_r with (1 - s); [lra |]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra.
    split_Rabs; nra.
Qed.

(** and it is a possible one, so nothing larger would do. *)
Theorem least_is_attained f s : 0 <= s < 1 -> within s (least f s) f.
Proof.
  intros share. unfold within, least. destruct (Rle_dec 0 (f - s)) as [pos | neg].
  - assert (is : (f - s) / (1 + s) * (1 + s) = f - s) by (field; lra).
    assert (0 <= (f - s) / (1 + s)) by (apply Rmult_le_reg_r with (1 + s); lra).
    set (v := (f - s) / (1 + s)) in *. split_Rabs; nra.
  - assert (is : (f - s) / (1 - s) * (1 - s) = f - s) by (field; lra).
    assert ((f - s) / (1 - s) <= 0) by (apply Rmult_le_reg_r with (1 - s); lra).
    set (v := (f - s) / (1 - s)) in *. split_Rabs; nra.
Qed.

(** The size of a gradient lies between two ends. *)
Definition slope_low (f s : R) : R := (f - s) / (1 + s).
Definition slope_high (f s : R) : R := (f + s) / (1 - s).

Theorem slopes_enclose f G s :
  0 <= s < 1 -> 0 <= G -> within s G f -> slope_low f s <= G <= slope_high f s.
Proof.
  intros share pos near. unfold within in near. rewrite (Rabs_right G) in near by lra.
  apply abs_le in near. split.
  - apply Rmult_le_reg_r with (1 + s); [lra |]. unfold slope_low, Rdiv.
    rewrite Rmult_assoc, Rinv_l by lra. nra.
  - apply Rmult_le_reg_r with (1 - s); [lra |]. unfold slope_high, Rdiv.
    rewrite Rmult_assoc, Rinv_l by lra. nra.
Qed.

(** ** The biased score of Theorem E' *)

Definition general_score (G alpha s s' : R) : R :=
  (s * (1 + alpha * G) + alpha * s' * (1 + G)) / (1 - s').

(** Let [sigma] be the decision and [y] the oracle's label seen from it. If the true margin exceeds
the allowance, the computed one is positive. *)
Theorem general_score_enough (sigma y : label) g f_g G f_G alpha s s' :
  0 <= s <= s' -> s' < 1 -> 0 <= G -> 0 <= alpha ->
  within s g f_g -> within s' G f_G ->
  general_score G alpha s s' < sigma * g + y * (alpha * G) ->
  0 < sigma * f_g + y * (alpha * f_G).
Proof.
  intros order less G_pos alpha_pos near_g near_G enough. unfold within in *.
  rewrite (Rabs_right G) in near_G by lra. unfold general_score in enough.
  set (A := sigma * g + y * (alpha * G)) in *.
  set (lost := s * (1 + alpha * G) + alpha * s' * (1 + G)) in *.
  assert (some : 0 <= alpha * G) by nra.
  assert (small : 0 <= alpha * s' * (1 + G)) by (apply Rmult_le_pos; nra).
  assert (lost_pos : 0 <= lost) by (unfold lost; nra).
  apply Rmult_lt_compat_r with (r := 1 - s') in enough; [| lra].
  replace (lost / (1 - s') * (1 - s')) with lost in enough by (field; lra).
  assert (A_pos : 0 < A) by nra.
  assert (from_G : y * (alpha * G) - alpha * s' * (1 + G) <= y * (alpha * f_G)).
  { apply abs_le in near_G. assert (alpha * (- (s' * (1 + G))) <= alpha * (f_G - G) <=
      alpha * (s' * (1 + G))) by (split; apply Rmult_le_compat_l; lra). destruct y; simpl; lra. }
  assert (from_g : sigma * g - s * (1 + Rabs g) <= sigma * f_g)
    by (apply abs_le in near_g; destruct sigma; simpl; lra).
  assert (size : Rabs g = Rabs (sigma * g))
    by (destruct sigma; simpl; [f_equal; ring | rewrite <- Rabs_Ropp; f_equal; ring]).
  rewrite size in from_g. set (h := sigma * g) in *. unfold A in *. unfold lost in *.
  destruct y; simpl in *.
  - destruct (Rle_dec 0 h) as [for_ | against].
    + rewrite (Rabs_right h) in from_g by lra.
      assert ((s' - s) * (alpha * G) <= (s' - s) * (h + 1 * (alpha * G)))
        by (apply Rmult_le_compat_l; lra). nra.
    + rewrite (Rabs_left h) in from_g by lra. assert (s * (- h) <= s * (alpha * G)) by nra. nra.
  - rewrite (Rabs_right h) in from_g by lra.
    assert (s * (h + -1 * (alpha * G)) <= s' * (h + -1 * (alpha * G)))
      by (apply Rmult_le_compat_r; lra). nra.
Qed.

(** The slope at the other points of the ball is at most G + L reach, and the allowance grows with
it. *)
Theorem general_score_grows G G' alpha s s' :
  0 <= s -> 0 <= s' < 1 -> 0 <= alpha -> G <= G' ->
  general_score G alpha s s' <= general_score G' alpha s s'.
Proof.
  intros s_pos share alpha_pos le. unfold general_score, Rdiv.
  apply Rmult_le_compat_r; [left; apply Rinv_0_lt_compat; lra |].
  assert (alpha * G <= alpha * G') by nra. assert (0 <= alpha * s') by nra. nra.
Qed.

(** The comparison of alpha with the rounded quotient of score and slope is one with another slope,
off by a share [CHOICE] more. *)
Definition CHOICE : R := 2 * eps.

Theorem choice_is_slope_error v f_G G s' quotient :
  0 < v -> 0 < f_G -> 0 <= G -> 0 <= s' < 1 -> within s' G f_G ->
  Rabs (quotient - v / f_G) <= u * (v / f_G) ->
  exists G', quotient = v / G' /\ within (s' + CHOICE) G G'.
Proof.
  intros v_pos f_pos G_pos share near off. pose proof u_pos as u_pos. pose proof u_small as is.
  assert (tiny : u <= 1 / 1000)
    by (replace (2 ^ 53) with 9007199254740992 in is by (simpl; ring); lra).
  unfold within in *. rewrite (Rabs_right G) in * by lra.
  assert (r_pos : 0 < v / f_G) by (apply Rdiv_lt_0_compat; assumption).
  set (r := v / f_G) in *. assert (r_is : r * f_G = v) by (unfold r; field; lra).
  apply abs_le in off. assert (q_pos : 0 < quotient) by nra.
  exists (v / quotient). split; [field; lra |].
  assert (G_is : v / quotient * quotient = v) by (field; lra). set (G' := v / quotient) in *.
  assert (moved : Rabs (G' - f_G) <= 2 * u * f_G).
  { assert (product : (G' - f_G) * quotient = f_G * (r - quotient)) by nra.
    apply abs_le. assert (- (f_G * (u * r)) <= (G' - f_G) * quotient <= f_G * (u * r)) by nra.
    assert (r <= 2 * quotient) by nra. assert (0 <= f_G * u) by nra. split; nra. }
  apply abs_le in near. apply abs_le in moved. apply abs_le. unfold CHOICE. rewrite eps_is.
  assert (f_G <= 2 * (1 + G)) by nra. nra.
Qed.

(** ** Lipschitz scores *)

Definition lipschitz_allowance (alpha K s : R) : R := s * (1 + alpha * K) / (1 - s).

(** For any bias of at most alpha K, so for differences of the scores of classes too. *)
Theorem lipschitz_allowance_enough h f bias alpha K s :
  0 <= s < 1 -> within s h f -> Rabs bias <= alpha * K ->
  lipschitz_allowance alpha K s < h + bias -> 0 < f + bias.
Proof.
  intros share near small enough. unfold within in near. unfold lipschitz_allowance in enough.
  apply Rmult_lt_compat_r with (r := 1 - s) in enough; [| lra].
  replace (s * (1 + alpha * K) / (1 - s) * (1 - s)) with (s * (1 + alpha * K)) in enough
    by (field; lra).
  assert (0 <= s * (1 + alpha * K)) by (apply Rmult_le_pos; pose proof (Rabs_pos bias); lra).
  assert (0 < h + bias) by nra.
  assert (Rabs h <= h + bias + alpha * K) by (split_Rabs; lra).
  assert (s * Rabs h <= s * (h + bias + alpha * K)) by (apply Rmult_le_compat_l; lra).
  apply abs_le in near. lra.
Qed.

(** ** The reach of an affine score: how its sum of sizes grows with the step

This needs a norm that does not see signs, as l1, l2 and linf do not. *)

Fixpoint absolute {n} : vec n -> vec n := match n with
  | O => fun x => x
  | S m => fun x => (Rabs (fst x), absolute (snd x))
  end.
Definition sizes_of {n} (w x : vec n) : R := sum (absolute w) (absolute x).

Theorem sizes_grow n (w x d : vec n) : sizes_of w (plus x d) <= sizes_of w x + sizes_of w d.
Proof.
  unfold sizes_of. induction n as [| n all]; simpl; [lra |].
  specialize (all (snd w) (snd x) (snd d)). pose proof (Rabs_triang (fst x) (fst d)).
  pose proof (Rabs_pos (fst w)). nra.
Qed.

Lemma absolute_total n (x : vec n) : total (absolute x) = total x.
Proof. induction n as [| n all]; simpl; [easy | now rewrite Rabs_Rabsolu, all]. Qed.

Lemma absolute_largest n (x : vec n) : largest (absolute x) = largest x.
Proof. induction n as [| n all]; simpl; [easy | now rewrite Rabs_Rabsolu, all]. Qed.

Lemma absolute_sum n (x : vec n) : sum (absolute x) (absolute x) = sum x x.
Proof.
  induction n as [| n all]; simpl; [easy |]. rewrite all. f_equal. split_Rabs; ring.
Qed.

Theorem reach_l1 n (w d : l1 n) : sizes_of w d <= dual w * norm d.
Proof.
  simpl. rewrite <- (absolute_total n d), <- (absolute_largest n w).
  apply Rle_trans with (1 := Rle_abs _), holder.
Qed.

Theorem reach_linf n (w d : linf n) : sizes_of w d <= dual w * norm d.
Proof.
  simpl. rewrite <- (absolute_total n w), <- (absolute_largest n d).
  apply Rle_trans with (1 := Rle_abs _), holder'.
Qed.

Theorem reach_l2 n (w d : l2 n) : sizes_of w d <= dual w * norm d.
Proof.
  apply Rle_trans with (1 := Rle_abs _).
  apply Rle_trans with (1 := length_bound (euclid n) (absolute w) (absolute d)).
  unfold length. simpl dot. rewrite !absolute_sum. right. reflexivity.
Qed.
