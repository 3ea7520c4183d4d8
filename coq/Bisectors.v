(** * The bisector's bound: labels as computed from rounded distances

Squared distances are computed within a share [SHARE] and [TINY] for each feature. A label as
computed may then be that of a point that is slightly farther; the allowance [overtaking] of
lbrs/rounding.py covers it, at x and at all points of the ball. *)

From Coq Require Import Reals Lra Psatz.
From LBRS Require Import Space Radii Neighbours Rounding Allowances.
Open Scope R_scope.

Definition SHARE : R := / 2 ^ 90.
Definition overtaking (square d : R) : R := (8 * d + 3) * SHARE * square + 8 * d * TINY.

Lemma SHARE_small : 0 < SHARE /\ SHARE * 2 ^ 90 = 1.
Proof.
  pose proof (pow_lt 2 90 ltac:(lra)). unfold SHARE. split; [now apply Rinv_0_lt_compat |].
  apply Rinv_l. lra.
Qed.

Section Overtaking.
Context {E : space} (D : R).
Implicit Types x d w : E.

(** [D] is the number of features. Norm and dual norm are close to the Euclidean length, as they
are for l1, l2 and linf. *)
Hypotheses (one : 1 <= D) (not_too_many : D <= 2 ^ 80).
Hypothesis equivalent :
  forall d w, length E d * length E w <= sqrt D * (norm d * dual w).

Definition measured (square computed : R) : Prop :=
  Rabs (computed - square) <= SHARE * square + D * TINY.

Lemma length_rho2 x z : length E (x -' z) * length E (x -' z) = rho2 x z.
Proof. apply length_sqr. Qed.

Lemma rho_moves x d z : length E ((x +' d) -' z) <= length E (x -' z) + length E d.
Proof.
  replace ((x +' d) -' z) with ((x -' z) +' d); [apply length_add |].
  rewrite <- !add_assoc. f_equal. apply add_comm.
Qed.

Lemma rho_apart x k j :
  length E (x -' j) - length E (x -' k) <= length E (k -' j).
Proof.
  pose proof (length_add E (x -' k) (k -' j)) as triangle.
  replace ((x -' k) +' (k -' j)) with (x -' j) in triangle; [lra |].
  rewrite <- add_assoc, (add_assoc _ _ k), (add_comm _ _ k), sub_self, (add_comm _ zero), add_zero.
  reflexivity.
Qed.

(** Where the step is shorter than the bisector, it is at most sqrt D times rho_j long. *)
Lemma step_length x d k j :
  2 * (norm d * dual (k -' j)) < rho2 x j - rho2 x k ->
  length E d <= sqrt D * length E (x -' j).
Proof.
  rewrite <- !length_rho2. intros short. pose proof (equivalent d (k -' j)) as bound.
  pose proof (rho_apart x k j) as apart. pose proof (length_pos E (x -' j)).
  pose proof (length_pos E (x -' k)). pose proof (length_pos E d). pose proof (sqrt_pos D) as root.
  pose proof (norm_pos E d). pose proof (dual_pos (k -' j)).
  set (a := length E (x -' j)) in *. set (b := length E (x -' k)) in *.
  set (l := length E d) in *. set (o := length E (k -' j)) in *. set (r := sqrt D) in *.
  assert (0 <= norm d * dual (k -' j)) by nra.
  assert (nearer : 0 < a - b) by nra.
  apply Rmult_le_reg_r with (1 := nearer).
  apply Rle_trans with (l * o); [nra |]. apply Rle_trans with (1 := bound).
  replace (r * a * (a - b)) with (r * (a * (a - b))) by ring.
  apply Rmult_le_compat_l; [exact root | nra].
Qed.

Lemma squares_there x d k j :
  2 * (norm d * dual (k -' j)) < rho2 x j - rho2 x k ->
  rho2 (x +' d) j + rho2 (x +' d) k <= 8 * D * rho2 x j.
Proof.
  intros short. pose proof (step_length x d k j short) as step.
  pose proof (rho_moves x d j) as move_j. pose proof (rho_moves x d k) as move_k.
  rewrite <- !length_rho2 in *. pose proof (length_pos E (x -' j)).
  pose proof (length_pos E (x -' k)). pose proof (length_pos E ((x +' d) -' j)).
  pose proof (length_pos E ((x +' d) -' k)). pose proof (norm_pos E d).
  pose proof (dual_pos (k -' j)).
  set (a := length E (x -' j)) in *. set (b := length E (x -' k)) in *.
  assert (0 <= norm d * dual (k -' j)) by nra. assert (order : b <= a) by nra.
  pose proof (sqrt_pos D) as root. pose proof (sqrt_sqrt D ltac:(lra)) as square.
  set (r := sqrt D) in *. assert (half : 1 + 2 * r <= 3 * D) by nra.
  assert (bound : forall c, 0 <= c -> c <= a + r * a -> c * c <= 4 * D * (a * a)).
  { intros c c_pos below. apply Rle_trans with ((a + r * a) * (a + r * a)); [nra |].
    replace ((a + r * a) * (a + r * a)) with ((1 + 2 * r + r * r) * (a * a)) by ring.
    apply Rmult_le_compat_r; nra. }
  pose proof (bound _ H1 ltac:(lra)). pose proof (bound _ H2 ltac:(lra)). lra.
Qed.

(** If the computed label at x + d is that of j, not of k, then the step is at least as long as the
bisector's distance lowered by the allowance. *)
Theorem overtaking_enough x d k j qj qk Qj Qk :
  measured (rho2 (x +' d) j) qj -> measured (rho2 (x +' d) k) qk -> qj <= qk ->
  measured (rho2 x j) Qj -> measured (rho2 x k) Qk ->
  Qj - Qk - overtaking Qj D <= 2 * (norm d * dual (k -' j)).
Proof.
  intros mj mk overtakes Mj Mk. apply Rnot_lt_le. intros short.
  unfold measured in *. apply abs_le in mj, mk, Mj, Mk. unfold overtaking in short.
  pose proof (difference_of_squares x d k j) as squares. pose proof (dot_ge (k -' j) d) as moved.
  pose proof (squares_there x d k j) as there.
  destruct SHARE_small as [share_pos share_is].
  assert (few : (8 * D + 3) * SHARE <= 1 / 64).
  { replace (2 ^ 90) with (2 ^ 80 * 1024) in share_is by (simpl; ring).
    assert (1 <= 2 ^ 80) by (simpl; lra).
    assert (D * SHARE <= 1 / 1024) by nra. nra. }
  assert (tiny : 0 < D * TINY).
  { apply Rmult_lt_0_compat; [lra |]. apply Rinv_0_lt_compat, pow_lt. lra. }
  assert (S_small : SHARE <= 1 / 64) by nra.
  pose proof (dot_pos E (x -' j)) as a_pos. pose proof (dot_pos E (x -' k)) as b_pos.
  fold (rho2 x j) in a_pos. fold (rho2 x k) in b_pos. pose proof (norm_pos E d).
  pose proof (dual_pos (k -' j)). assert (w_pos : 0 <= norm d * dual (k -' j)) by nra.
  set (a := rho2 x j) in *. set (b := rho2 x k) in *. set (w := norm d * dual (k -' j)) in *.
  set (T := D * TINY) in *. set (S := SHARE) in *. replace (8 * D * TINY) with (8 * T) in short
    by (unfold T; ring).
  set (c := (8 * D + 3) * S) in *. assert (c_pos : 0 <= c) by (unfold c; nra).
  assert (aS : 0 <= a * S) by nra. assert (cT : 0 <= c * T <= T) by (split; nra).
  assert (aDS : 0 <= D * (a * S)) by nra.
  assert (ca : c * a = 8 * (D * (a * S)) + 3 * (a * S)) by (unfold c; ring).
  assert (caS : 0 <= c * (a * S) <= a * S) by (split; nra).
  assert (cQ : c * ((1 - S) * a - T) <= c * Qj) by (apply Rmult_le_compat_l; lra).
  assert (order : b <= a).
  { apply Rnot_lt_le. intros farther.
    assert ((1 - S) * a <= (1 - S) * b) by (apply Rmult_le_compat_l; lra).
    assert ((1 - c) * Qj <= (1 - c) * ((1 + S) * a + T)) by (apply Rmult_le_compat_l; lra). lra. }
  assert (bS : S * b <= S * a) by (apply Rmult_le_compat_l; lra).
  assert (near : 2 * w < a - b) by lra. specialize (there near).
  assert (S * (rho2 (x +' d) j + rho2 (x +' d) k) <= 8 * (D * (a * S)))
    by (replace (8 * (D * (a * S))) with (S * (8 * D * a)) by ring; apply Rmult_le_compat_l; lra).
  unfold w in *. lra.
Qed.

End Overtaking.

(** ** The norms of R^n are close enough to the Euclidean length *)

Lemma length_total n (x : vec n) : sum x x <= total x * total x.
Proof.
  induction n as [| n all]; simpl; [lra |]. specialize (all (snd x)).
  pose proof (Rabs_pos (fst x)). pose proof (total_pos n (snd x)).
  assert (fst x * fst x = Rabs (fst x) * Rabs (fst x)) by (split_Rabs; ring). nra.
Qed.

Lemma length_largest n (x : vec n) : sum x x <= INR n * (largest x * largest x).
Proof.
  induction n as [| n all]; [simpl; lra |]. specialize (all (snd x)). rewrite S_INR. simpl.
  pose proof (Rmax_l (Rabs (fst x)) (largest (snd x))) as l.
  pose proof (Rmax_r (Rabs (fst x)) (largest (snd x))) as r. pose proof (Rabs_pos (fst x)).
  pose proof (largest_pos n (snd x)). pose proof (pos_INR n).
  set (m := Rmax _ _) in *.
  assert (fst x * fst x = Rabs (fst x) * Rabs (fst x)) by (split_Rabs; ring).
  assert (largest (snd x) * largest (snd x) <= m * m) by nra.
  assert (INR n * (largest (snd x) * largest (snd x)) <= INR n * (m * m))
    by (apply Rmult_le_compat_l; assumption). nra.
Qed.

Lemma total_largest n (x w : vec n) :
  length (euclid n) x * length (euclid n) w <= sqrt (INR n) * (total x * largest w).
Proof.
  pose proof (length_total n x) as one. pose proof (length_largest n w) as two.
  pose proof (total_pos n x). pose proof (largest_pos n w). pose proof (pos_INR n).
  unfold length. simpl dot. rewrite <- (sqrt_mult_alt (sum x x)) by apply sum_pos.
  replace (total x * largest w) with (sqrt ((total x * total x) * (largest w * largest w))).
  - rewrite <- sqrt_mult_alt by assumption. apply sqrt_le_1_alt. simpl.
    apply Rle_trans with ((total x * total x) * (INR n * (largest w * largest w))); [| lra].
    apply Rmult_le_compat; try assumption; apply sum_pos.
  - rewrite sqrt_mult_alt by nra. now rewrite !sqrt_square.
Qed.

Theorem l1_equivalent n (d w : l1 n) :
  length (l1 n) d * length (l1 n) w <= sqrt (INR n) * (norm d * dual w).
Proof. apply total_largest. Qed.

Theorem linf_equivalent n (d w : linf n) :
  length (linf n) d * length (linf n) w <= sqrt (INR n) * (norm d * dual w).
Proof. rewrite (Rmult_comm (length _ d)), (Rmult_comm (norm d)). apply total_largest. Qed.

Theorem l2_equivalent n (d w : l2 n) :
  (1 <= n)%nat -> length (l2 n) d * length (l2 n) w <= sqrt (INR n) * (norm d * dual w).
Proof.
  intros some. assert (one : 1 <= sqrt (INR n)).
  { apply Rle_trans with (sqrt 1); [rewrite sqrt_1; lra |]. apply sqrt_le_1_alt, (le_INR 1), some. }
  pose proof (length_pos (l2 n) d). pose proof (length_pos (l2 n) w).
  change (norm d * dual w) with (length (l2 n) d * length (l2 n) w).
  assert (pos : 0 <= length (l2 n) d * length (l2 n) w) by (apply Rmult_le_pos; assumption).
  set (p := length (l2 n) d * length (l2 n) w) in *. nra.
Qed.
