(** * Smooth scores: Theorems E, E' and 8 *)

From Coq Require Import Reals Lra List Psatz.
From Coquelicot Require Import Coquelicot.
From LBRS Require Import Space Radii Neighbours Roots.
Open Scope R_scope.

Section Smooth.
Context {E : space} (g : E -> R) (grad : E -> E) (L : R).
Implicit Types x z d : E.

(** [grad] is the gradient of [g]: it gives the slope along every line. *)
Definition gradient : Prop :=
  forall x d, is_derive (fun t => g (x +' t *' d)) 0 (grad x • d).

(** Assumption 7 on the closed ball of radius [r]; everywhere if [r] is infinite. *)
Definition smooth_within x (r : Rbar) : Prop := forall z z',
  Rbar_le (norm (z -' x)) r -> Rbar_le (norm (z' -' x)) r ->
  dual (grad z -' grad z') <= L * norm (z -' z').

Hypothesis is_gradient : gradient.
Hypothesis L_pos : 0 < L.

(** ** (E1), by the mean value theorem alone *)

Lemma derive_along x d t : is_derive (fun t => g (x +' t *' d)) t (grad (x +' t *' d) • d).
Proof.
  apply is_derive_ext with (fun s => g ((x +' t *' d) +' (s - t) *' d)).
  { intros s. f_equal. rewrite <- add_assoc, <- add_scale. repeat f_equal. ring. }
  replace (grad (x +' t *' d) • d) with (scal 1 (grad (x +' t *' d) • d))
    by (unfold scal; simpl; unfold mult; simpl; ring).
  apply (is_derive_comp (fun s => g ((x +' t *' d) +' s *' d)) (fun s => s - t)).
  - rewrite Rminus_diag_eq by reflexivity. apply is_gradient.
  - auto_derive; [easy | ring].
Qed.

(** A function whose slope is at least p + q tau rises at least as the integral of that. *)
Lemma rises (phi slope : R -> R) p q a b :
  a <= b -> (forall t, is_derive phi t (slope t)) ->
  (forall t, a <= t <= b -> p + q * t <= slope t) ->
  p * (b - a) + q * (b² - a²) / 2 <= phi b - phi a.
Proof.
  intros order derives steep.
  destruct (MVT_gen (fun t => phi t - (p * t + q * t² / 2)) a b
    (fun t => slope t - (p + q * t))) as (c & between & mean).
  - intros t _. apply (is_derive_minus phi); [apply derives |].
    unfold Rsqr. auto_derive; [easy | field].
  - intros t _. apply derivable_continuous_pt. exists (slope t - (p + q * t)).
    apply is_derive_Reals, (is_derive_minus phi); [apply derives |].
    unfold Rsqr. auto_derive; [easy | field].
  - rewrite Rmin_left, Rmax_right in between by assumption. pose proof (steep c between). nra.
Qed.

Variables (x d : E) (radius : Rbar).
Hypothesis smooth : smooth_within x radius.
Hypothesis inside : Rbar_le (norm d) radius.
Notation t := (norm d).
Notation G := (dual (grad x)).
Notation nu := (dual (grad (x +' d))).

Lemma on_segment s : 0 <= s <= 1 -> Rbar_le (norm ((x +' s *' d) -' x)) radius.
Proof.
  intros part. rewrite add_then_sub, norm_scale, Rabs_right by lra.
  apply Rbar_le_trans with (2 := inside). simpl. pose proof (norm_pos E d). nra.
Qed.

(** The gradient's size grows by at most L for each unit of distance, from either end. *)
Lemma slope_from_start s :
  0 <= s <= 1 -> Rabs (dual (grad (x +' s *' d)) - G) <= L * s * t.
Proof.
  intros part. apply Rle_trans with (1 := dual_sub _ _).
  assert (here : Rbar_le (norm (x -' x)) radius).
  { rewrite sub_self, norm_of_zero. apply Rbar_le_trans with (2 := inside), norm_pos. }
  apply Rle_trans with (1 := smooth _ _ (on_segment s part) here).
  rewrite add_then_sub, norm_scale, Rabs_right by lra. lra.
Qed.

Lemma slope_from_end s :
  0 <= s <= 1 -> Rabs (dual (grad (x +' s *' d)) - nu) <= L * (1 - s) * t.
Proof.
  intros part. apply Rle_trans with (1 := dual_sub _ _).
  assert (there : Rbar_le (norm ((x +' d) -' x)) radius) by (now rewrite add_then_sub).
  apply Rle_trans with (1 := smooth _ _ (on_segment s part) there).
  replace ((x +' s *' d) -' (x +' d)) with ((s - 1) *' d).
  - rewrite norm_scale, Rabs_left1 by lra. lra.
  - rewrite scale_add, add_assoc, <- (add_assoc _ x), (add_comm _ (s *' d)), add_assoc.
    rewrite sub_self, (add_comm _ zero), add_zero, <- add_scale. f_equal.
Qed.

Lemma end_slope : Rabs (nu - G) <= L * t.
Proof.
  pose proof (slope_from_start 1 ltac:(lra)) as change. rewrite scale_one in change. lra.
Qed.

(** (E1): the slope can neither fall below its start nor below its end by more than L allows. *)
Theorem theorem_E1 (s : label) : E1 (s * g x) G L nu t <= s * g (x +' d).
Proof.
  pose proof (norm_pos E d) as [t_pos | t_zero].
  2:{ symmetry in t_zero. pose proof (norm_zero E d t_zero) as ->.
      rewrite add_zero, norm_of_zero. unfold E1, Rsqr. right. field. lra. }
  pose proof end_slope as change. apply abs_le in change.
  set (phi := fun u => s * g (x +' u *' d)).
  set (slope := fun u => s * (grad (x +' u *' d) • d)).
  assert (derives : forall u, is_derive phi u (slope u)).
  { intros u. apply (is_derive_scal (fun u => g (x +' u *' d))), derive_along. }
  assert (steep : forall u, - (dual (grad (x +' u *' d)) * t) <= slope u).
  { intros u. unfold slope. pose proof (dual_bound E (grad (x +' u *' d)) d) as bound.
    apply abs_le in bound. destruct s; simpl; lra. }
  set (c := 1 / 2 + (nu - G) / (2 * (L * t))).
  assert (Lt_pos : 0 < L * t) by nra.
  assert (c_is : c * (2 * (L * t)) = L * t + (nu - G)) by (unfold c; field; lra).
  assert (part : 0 <= c <= 1) by (split; nra).
  assert (first : - G * t * (c - 0) + - L * t² * (c² - 0²) / 2 <= phi c - phi 0).
  { apply rises with slope; [lra | exact derives |]. intros u u_in.
    pose proof (slope_from_start u ltac:(lra)) as near. apply abs_le in near.
    pose proof (steep u). unfold Rsqr. nra. }
  assert (second : (- nu * t - L * t²) * (1 - c) + L * t² * (1² - c²) / 2 <= phi 1 - phi c).
  { apply rises with slope; [lra | exact derives |]. intros u u_in.
    pose proof (slope_from_end u ltac:(lra)) as near. apply abs_le in near.
    pose proof (steep u). unfold Rsqr. nra. }
  unfold phi in first, second. rewrite scale_zero, add_zero in first.
  rewrite scale_one in second.
  replace (E1 (s * g x) G L nu t) with (s * g x + (- G * t * (c - 0) + - L * t² * (c² - 0²) / 2)
    + ((- nu * t - L * t²) * (1 - c) + L * t² * (1² - c²) / 2)); [lra |].
  unfold E1, c, Rsqr. field. lra.
Qed.

(** (E2): if the bias hurts. *)
Theorem theorem_E2 (s : label) alpha :
  0 <= alpha -> Psi_minus (s * g x) G L alpha t <= s * g (x +' d) - alpha * nu.
Proof.
  intros alpha_pos. pose proof end_slope as change. apply abs_le in change.
  pose proof (theorem_E1 s). pose proof (norm_pos E d).
  pose proof (E1_minus (s * g x) G L alpha L_pos alpha_pos nu t ltac:(lra) ltac:(lra)). lra.
Qed.

(** (E3): if it helps. *)
Theorem theorem_E3 (s : label) alpha :
  Psi_plus (s * g x) G L alpha t <= s * g (x +' d) + alpha * nu.
Proof.
  pose proof end_slope as change. apply abs_le in change.
  pose proof (theorem_E1 s). pose proof (norm_pos E d). pose proof (dual_pos (grad (x +' d))).
  pose proof (E1_plus (s * g x) G L alpha L_pos nu t ltac:(lra) ltac:(lra) ltac:(lra)). lra.
Qed.

End Smooth.

(** ** Theorems E' and 8 *)

Section Biased.
Context {E : space} (g : E -> R) (grad : E -> E) (L alpha : R) (yhat f : E -> label).
Implicit Types x d : E.
Hypothesis is_gradient : gradient g grad.
Hypotheses (L_pos : 0 < L) (alpha_pos : 0 <= alpha).

(** The biased score of equation (5), and its decision. *)
Definition g_mu x : R := g x + alpha * yhat x * dual (grad x).
Hypothesis f_is : decides g_mu f.

Notation v x := (f x * g x).
Notation G x := (dual (grad x)).
Definition r_E certified x : Rbar :=
  sign_aware (agrees (f x) (yhat x)) (rho_plus (v x) (G x) L alpha)
    (rho_minus (v x) (G x) L alpha) certified.

Lemma margin_size x : g_mu x <> 0 -> v x + alpha * (f x * yhat x) * G x = Rabs (g_mu x).
Proof. intros nonzero. rewrite <- (decision_size _ _ _ f_is nonzero). unfold g_mu. ring. Qed.

Lemma margin_along x : g_mu x <> 0 -> 0 < m_plus (v x) (G x) alpha.
Proof.
  intros nonzero. pose proof (margin_size x nonzero) as size. unfold m_plus.
  pose proof (Rabs_pos_lt _ nonzero). pose proof (dual_pos (grad x)).
  assert (0 <= alpha * G x) by nra. destruct (f x), (yhat x); simpl in *; nra.
Qed.

Lemma safe x radius d :
  smooth_within grad L x radius -> Rbar_le (norm d) radius ->
  norm d < rho_minus (v x) (G x) L alpha -> f (x +' d) = f x.
Proof.
  intros smooth inside short. apply (decided _ _ _ _ f_is). unfold g_mu.
  apply rho_minus_exact in short; [| assumption | apply dual_pos | assumption | apply norm_pos].
  pose proof (theorem_E2 g grad L is_gradient L_pos x d radius smooth inside (f x) alpha alpha_pos).
  pose proof (dual_pos (grad (x +' d))).
  assert (0 <= alpha * G (x +' d)) by nra. destruct (f x), (yhat (x +' d)); simpl in *; nra.
Qed.

Lemma helped x radius d :
  g_mu x <> 0 -> smooth_within grad L x radius -> Rbar_le (norm d) radius ->
  norm d < rho_plus (v x) (G x) L alpha -> yhat (x +' d) = f x -> f (x +' d) = f x.
Proof.
  intros nonzero smooth inside short helps. apply (decided _ _ _ _ f_is). unfold g_mu.
  apply rho_plus_exact in short;
    [| assumption | apply dual_pos | assumption | now apply margin_along | apply norm_pos].
  pose proof (theorem_E3 g grad L is_gradient L_pos x d radius smooth inside (f x) alpha).
  rewrite helps. destruct (f x); simpl in *; nra.
Qed.

(** Theorem E', for any oracle with a certified radius, and with a constant that holds on a ball. *)
Theorem theorem_E_prime_local certified radius x :
  g_mu x <> 0 -> smooth_within grad L x radius -> constant_within yhat x certified ->
  constant_within f x (rmin radius (r_E certified x)).
Proof.
  intros nonzero smooth keeps d. unfold r_E, sign_aware, agrees. rewrite below_min.
  intros [near short]. pose proof (Rbar_lt_le _ _ near) as inside. clear near.
  destruct (same (f x) (yhat x)) as [agree | differ]; [| now apply (safe x radius)].
  apply below_min in short as [along rest]. apply below_max in rest as [stays | far].
  - apply (helped x radius); try assumption. rewrite agree. now apply keeps.
  - now apply (safe x radius).
Qed.

Theorem theorem_E_prime references x :
  g_mu x <> 0 -> smooth_within grad L x p_infty -> nearest_oracle references yhat ->
  constant_within f x (r_E (R_nb same references yhat x) x).
Proof.
  intros nonzero smooth oracle d short.
  apply (theorem_E_prime_local (R_nb same references yhat x) p_infty x); try assumption.
  - apply theorem_A, oracle.
  - now apply below_min.
Qed.

(** ** Theorem 8 *)

Definition r_bdry x : R :=
  (sqrt ((B (G x) L alpha)² + 4 * L * Rabs (g_mu x)) - B (G x) L alpha) / (2 * L).

(** Before [r_bdry] the worst that the paper allows has not used up |g^mu(x)|. *)
Lemma r_bdry_root x t :
  0 <= t -> t < r_bdry x -> B (G x) L alpha * t + L * t² < Rabs (g_mu x).
Proof.
  intros t_pos. unfold r_bdry. set (b := B (G x) L alpha). set (m := Rabs (g_mu x)).
  assert (b_pos : 0 <= b) by (unfold b, B; pose proof (dual_pos (grad x)); nra).
  assert (m_pos : 0 <= m) by apply Rabs_pos. pose proof (Rle_0_sqr b).
  assert (D_pos : 0 <= b² + 4 * L * m) by nra.
  pose proof (sqrt_sqrt _ D_pos) as square. set (S := sqrt (b² + 4 * L * m)) in *. intros short.
  apply Rmult_lt_compat_l with (r := 2 * L) in short; [| lra].
  replace (2 * L * ((S - b) / (2 * L))) with (S - b) in short by (field; lra).
  assert ((b + 2 * L * t) * (b + 2 * L * t) < S * S) by (assert (0 <= L * t) by nra; nra).
  rewrite square in H0. unfold Rsqr in *. nra.
Qed.

(** Theorem E' is never below Theorem 8. *)
Theorem theorem_E_prime_above_8 references i x t :
  0 <= t -> In i references -> snd i = yhat x -> g_mu x <> 0 -> t < r_bdry x ->
  below t (r_nghbr same references yhat i x) -> below t (r_E (R_nb same references yhat x) x).
Proof.
  intros t_pos inside own nonzero short near. pose proof (dual_pos (grad x)) as slope.
  pose proof (r_bdry_root x t t_pos short) as left. rewrite <- (margin_size x nonzero) in left.
  unfold B, Rsqr in left. assert (curve : 0 <= L * (t * t)) by nra.
  unfold r_E, sign_aware, agrees. destruct (same (f x) (yhat x)) as [agree | differ].
  - rewrite below_min, below_max. split.
    2:{ left. now apply below_le with (1 := near), theorem_A_paper. }
    apply rho_plus_exact; try assumption; [now apply margin_along |].
    destruct (nu_star_allowed (G x) L alpha L_pos slope alpha_pos t t_pos) as (pos & low & high).
    pose proof (E1_minus (v x) (G x) L 0 L_pos (Rle_refl 0) _ t t_pos high) as falls.
    unfold Psi_plus. unfold Psi_minus, Rsqr in falls. rewrite agree, label_sqr in *. nra.
  - apply rho_minus_exact; try assumption. unfold Psi_minus, Rsqr.
    replace (f x * yhat x) with (-1) in left; [nra |].
    destruct (label_cases (f x) (yhat x)) as [e | ->]; [contradiction |].
    destruct (yhat x); simpl; ring.
Qed.

(** Theorem 8, for an open ball. *)
Theorem theorem_8 references i x :
  smooth_within grad L x p_infty ->
  nearest_oracle references yhat -> In i references -> snd i = yhat x ->
  constant_within f x (rmin (r_bdry x) (r_nghbr same references yhat i x)).
Proof.
  intros smooth oracle inside own d short. apply below_min in short as [bdry near].
  assert (nonzero : g_mu x <> 0).
  { intros none. pose proof (r_bdry_root x (norm d) (norm_pos E d) bdry) as left.
    rewrite none, Rabs_R0 in left. pose proof (norm_pos E d). pose proof (dual_pos (grad x)).
    assert (0 <= B (G x) L alpha) by (unfold B; nra). unfold Rsqr in left. nra. }
  apply (theorem_E_prime references x nonzero smooth oracle d).
  apply (theorem_E_prime_above_8 references i); try assumption. apply norm_pos.
Qed.

End Biased.
