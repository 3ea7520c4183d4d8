(** * Linear scores: Lemma 0, Theorems 6 and B, and the bound of Theorem C *)

From Coq Require Import Reals Lra List.
From Coquelicot Require Import Rbar.
From LBRS Require Import Space Radii Neighbours.
Open Scope R_scope.

Section HalfSpace.
Context {E : space}.
Implicit Types w d : E.

(** Lemma 0: a step shorter than c/||w||_* stays below c, *)
Theorem lemma_0 w c d : w <> zero -> norm d < c / dual w -> w • d < c.
Proof.
  intros nonzero short. pose proof (dual_nonzero w nonzero) as pos. pose proof (dot_le w d).
  apply Rmult_lt_compat_l with (1 := pos) in short.
  replace (dual w * (c / dual w)) with c in short by (field; lra). lra.
Qed.

(** a step that reaches c is at least max{c, 0}/||w||_* long, *)
Theorem lemma_0_bound w c d : w <> zero -> c <= w • d -> Rmax c 0 / dual w <= norm d.
Proof.
  intros nonzero reaches. pose proof (dual_nonzero w nonzero) as pos. pose proof (dot_le w d).
  pose proof (norm_pos E d). apply Rmult_le_reg_l with (1 := pos).
  replace (dual w * (Rmax c 0 / dual w)) with (Rmax c 0) by (field; lra).
  apply Rmax_lub; [lra | nra].
Qed.

(** and one step is no longer than that. *)
Theorem lemma_0_attained w c :
  w <> zero -> exists d, c <= w • d /\ norm d = Rmax c 0 / dual w.
Proof.
  intros nonzero. pose proof (dual_nonzero w nonzero) as pos.
  destruct (dual_attained E w) as (m & short & reaches).
  assert (unit : norm m = 1) by (pose proof (dot_le w m); nra).
  exists ((Rmax c 0 / dual w) *' m). rewrite dot_scale, norm_scale, unit, reaches.
  pose proof (Rmax_r c 0). pose proof (Rmax_l c 0). split.
  - unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
  - rewrite Rmult_1_r. apply Rabs_right, Rle_ge, Rmult_le_pos; [assumption |].
    apply Rlt_le, Rinv_0_lt_compat, pos.
Qed.

End HalfSpace.

Section Linear.
Context {E : space} (a : E) (b alpha : R).
Implicit Types x d : E.
Hypothesis a_nonzero : a <> zero.
Hypothesis alpha_pos : 0 <= alpha.

(** The score, the biased score of equation (4), and its decision; [yhat] is any oracle. *)
Variables (yhat f : E -> label).
Definition g x : R := a • x + b.
Definition g_mu x : R := g x + alpha * yhat x * dual a.
Hypothesis f_is : decides g_mu f.

Lemma g_moves x d : g (x +' d) = g x + a • d.
Proof. unfold g. rewrite dot_add. ring. Qed.

Variable references : list (E * label).

(** Theorem 6: the smaller one of |g^mu(x)|/||a||_* and the paper's neighbour term, for an open
ball. [i] is the nearest reference point, of whose label the oracle speaks. *)
Definition r_lin i x : Rbar :=
  rmin (Rabs (g_mu x) / dual a) (r_nghbr same references yhat i x).

Theorem theorem_6 i x :
  nearest_oracle references yhat -> In i references -> snd i = yhat x ->
  constant_within f x (r_lin i x).
Proof.
  intros oracle inside own d. unfold r_lin. rewrite below_min. intros [short near].
  pose proof (oracle_keeps_paper same references yhat i x oracle inside own d near) as keeps.
  change (norm d < Rabs (g_mu x) / dual a) in short. pose proof (norm_pos E d) as long.
  pose proof (dual_nonzero a a_nonzero) as slope. pose proof (dual_bound E a d) as moved.
  apply Rmult_lt_compat_l with (1 := slope) in short.
  replace (dual a * (Rabs (g_mu x) / dual a)) with (Rabs (g_mu x)) in short by (field; lra).
  assert (moves : g_mu (x +' d) = g_mu x + a • d)
    by (unfold g_mu; rewrite keeps, g_moves; ring).
  assert (nonzero : g_mu x <> 0) by (intros none; rewrite none, Rabs_R0 in short; nra).
  apply (decided _ _ _ _ f_is). rewrite moves, Rmult_plus_distr_l.
  rewrite (decision_size _ _ _ f_is nonzero).
  apply abs_le in moved. destruct (f x); simpl; lra.
Qed.

(** Theorem B, for any oracle with a certified radius: R + alpha while the oracle helps, R - alpha
even where it hurts. *)
Definition R_own x : R := f x * g x / dual a.
Definition r_B (certified : Rbar) x : Rbar :=
  sign_aware (agrees (f x) (yhat x)) (R_own x + alpha) (R_own x - alpha) certified.

Lemma distance_in_score x t (c : R) :
  t < R_own x + c -> t * dual a < f x * g x + c * dual a.
Proof.
  pose proof (dual_nonzero a a_nonzero) as slope. unfold R_own. intros short.
  apply Rmult_lt_compat_r with (1 := slope) in short.
  replace ((f x * g x / dual a + c) * dual a) with (f x * g x + c * dual a) in short
    by (field; lra). exact short.
Qed.

Lemma biased_score_falls x d :
  f x * g x - norm d * dual a + alpha * (f x * yhat (x +' d)) * dual a <= f x * g_mu (x +' d).
Proof.
  pose proof (dual_bound E a d) as moved. apply abs_le in moved.
  unfold g_mu. rewrite g_moves. destruct (f x); simpl; lra.
Qed.

Theorem theorem_B_oracle certified x :
  constant_within yhat x certified -> constant_within f x (r_B certified x).
Proof.
  pose proof (dual_nonzero a a_nonzero) as slope. intros keeps.
  apply sign_aware_holds; [exact keeps | |].
  - intros d short. apply (decided _ _ _ _ f_is). pose proof (biased_score_falls x d).
    apply (distance_in_score x (norm d) (- alpha)) in short. simpl in short.
    assert (-1 <= f x * yhat (x +' d)) by (destruct (f x), (yhat (x +' d)); simpl; lra).
    assert (0 <= alpha * dual a) by nra. nra.
  - intros d short helps. apply (decided _ _ _ _ f_is). pose proof (biased_score_falls x d).
    apply (distance_in_score x (norm d) alpha) in short.
    rewrite helps, label_sqr in *. lra.
Qed.

Theorem theorem_B x :
  nearest_oracle references yhat ->
  constant_within f x (r_B (R_nb same references yhat x) x).
Proof. intros oracle. apply theorem_B_oracle, theorem_A, oracle. Qed.

(** At alpha = 0 it is the distance to the line. *)
Theorem theorem_B_alpha_0 certified x :
  alpha = 0 -> g x <> 0 -> r_B certified x = Finite (Rabs (g x) / dual a).
Proof.
  intros none nonzero. assert (size : R_own x = Rabs (g x) / dual a).
  { unfold R_own. f_equal. apply (decision_size g f); [| exact nonzero].
    intros z. destruct (f_is z). unfold g_mu in *. rewrite none in *.
    split; intros; [apply H | apply H0]; lra. }
  unfold r_B, sign_aware. rewrite none, Rplus_0_r, Rminus_0_r, size.
  destruct (agrees _ _); [| reflexivity]. unfold rmin, rmax.
  destruct (Rbar_le_dec certified (Rabs (g x) / dual a)) as [small | large].
  - now destruct (Rbar_le_dec _ _).
  - destruct (Rbar_le_dec _ certified) as [| lt]; [reflexivity |].
    apply Rbar_not_le_lt, Rbar_lt_le in lt. contradiction.
Qed.

(** It is never below Theorem 6. *)
Theorem theorem_B_above_6 i x t :
  In i references -> snd i = yhat x -> g_mu x <> 0 ->
  below t (r_lin i x) -> below t (r_B (R_nb same references yhat x) x).
Proof.
  intros inside own nonzero. unfold r_lin. rewrite below_min. intros [short near].
  pose proof (dual_nonzero a a_nonzero) as slope.
  assert (size : Rabs (g_mu x) / dual a = R_own x + alpha * (f x * yhat x)).
  { rewrite <- (decision_size _ _ _ f_is nonzero). unfold R_own, g_mu. field. lra. }
  rewrite size in short. unfold r_B, sign_aware, agrees.
  destruct (same (f x) (yhat x)) as [agree | differ].
  - rewrite below_min, below_max. rewrite agree, label_sqr, Rmult_1_r in short.
    split; [exact short | left]. now apply below_le with (1 := near), theorem_A_paper.
  - destruct (label_cases (f x) (yhat x)) as [e | e]; [contradiction |]. rewrite e in short.
    change (t < R_own x - alpha).
    change (t < R_own x + alpha * (opposite (yhat x) * yhat x)) in short.
    destruct (yhat x); simpl in short; lra.
Qed.

(** Theorem C: the polyhedron in which [j] can speak for [y] and the score denies [s]. *)
Definition polyhedron (s y : label) (j : E * label) z : Prop :=
  (forall k, In k references -> snd k = opposite y -> rho2 z (fst j) <= rho2 z (fst k)) /\
  s * (g z + alpha * y * dual a) <= 0.

(** Nothing changes at a distance below that of all polyhedra: [r] is any number that is not
larger than the distance to any of them. *)
Theorem theorem_C_safe (r : R) x :
  nearest_oracle references yhat ->
  (forall y j d, In j references -> snd j = y -> polyhedron (f x) y j (x +' d) -> r <= norm d) ->
  constant_within f x r.
Proof.
  intros oracle far d short. destruct (oracle (x +' d)) as (j & (inside & first) & speaks).
  apply (decided _ _ _ _ f_is). apply Rnot_le_lt. intros denied.
  apply (Rlt_not_le r (norm d) short), (far (yhat (x +' d)) j d); try assumption.
  split; [| exact denied]. intros k member _. now apply first.
Qed.

(** Where all the inequalities of a polyhedron are strict the decision has changed. *)
Theorem theorem_C_changes (s y : label) j z :
  nearest_oracle references yhat -> In j references -> snd j = y ->
  (forall k, In k references -> snd k = opposite y -> rho2 z (fst j) < rho2 z (fst k)) ->
  s * (g z + alpha * y * dual a) < 0 -> f z = opposite s.
Proof.
  intros oracle inside speaks nearer denied.
  destruct (oracle z) as (k & (member & first) & is).
  assert (yhat z = y) as said.
  { destruct (label_cases (yhat z) y) as [e | e]; [exact e | exfalso].
    apply (Rlt_not_le _ _ (nearer k member (eq_trans is e))), first, inside. }
  apply (decided _ _ _ _ f_is). unfold g_mu. rewrite said. destruct s; simpl in *; lra.
Qed.

(** So no larger radius is true if the polyhedron has an interior: as near as one likes to each of
its points lies a change. *)
Theorem theorem_C_exact y j x d d' eps :
  nearest_oracle references yhat -> In j references -> snd j = y -> 0 < eps ->
  polyhedron (f x) y j (x +' d) ->
  (forall k, In k references -> snd k = opposite y ->
    rho2 (x +' d') (fst j) < rho2 (x +' d') (fst k)) ->
  f x * (g (x +' d') + alpha * y * dual a) < 0 ->
  exists c, norm c < norm d + eps /\ f (x +' c) <> f x.
Proof.
  intros oracle inside speaks small (nearer & denied) strictly strictly_denied.
  set (t := Rmin (1 / 2) (eps / (norm d' + 1) / 2)).
  pose proof (norm_pos E d) as long. pose proof (norm_pos E d') as long'.
  assert (0 < eps / (norm d' + 1) / 2) as some
    by (apply Rdiv_lt_0_compat; [apply Rdiv_lt_0_compat |]; lra).
  assert (t_pos : 0 < t) by (unfold t; apply Rmin_pos; lra).
  assert (t_small : t <= 1 / 2 /\ t * (norm d' + 1) <= eps / 2).
  { unfold t. split; [apply Rmin_l |]. pose proof (Rmin_r (1 / 2) (eps / (norm d' + 1) / 2)) as le.
    apply Rmult_le_compat_r with (r := norm d' + 1) in le; [| lra].
    replace (eps / (norm d' + 1) / 2 * (norm d' + 1)) with (eps / 2) in le by (field; lra).
    exact le. }
  exists ((1 - t) *' d +' t *' d'). split.
  { apply Rle_lt_trans with (1 := norm_add _ _ _). rewrite !norm_scale, !Rabs_right by lra. nra. }
  rewrite (theorem_C_changes (f x) y j); try assumption.
  - now destruct (f x).
  - intros k member other. specialize (nearer k member other). specialize (strictly k member other).
    pose proof (difference_of_squares x d (fst j) (fst k)).
    pose proof (difference_of_squares x d' (fst j) (fst k)).
    pose proof (difference_of_squares x ((1 - t) *' d +' t *' d') (fst j) (fst k)) as mixed.
    rewrite dot_add, !dot_scale in mixed. nra.
  - rewrite g_moves in *. rewrite dot_add, !dot_scale. nra.
Qed.

End Linear.
