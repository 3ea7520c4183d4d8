(** * Every alpha at once: Proposition L and Lemma Q *)

From Coq Require Import Reals Lra List Psatz.
From Coquelicot Require Import Coquelicot.
From LBRS Require Import Space Radii Smooth.
Open Scope R_scope.

(** ** Proposition L: the larger of two numbers gives the sign of their sum *)

Section Selector.
Variables (g G alpha : R) (s yhat : label).
Hypothesis (G_pos : 0 < G).

(** [s] is the decision of the biased score. *)
Hypothesis s_is : 0 <= s * (g + alpha * yhat * G).

Theorem proposition_L_oracle : Rabs g / G < alpha -> s = yhat.
Proof.
  intros large. apply Rmult_lt_compat_r with (1 := G_pos) in large.
  replace (Rabs g / G * G) with (Rabs g) in large by (field; lra).
  destruct s, yhat; try reflexivity; simpl in s_is; split_Rabs; lra.
Qed.

Theorem proposition_L_base :
  0 <= alpha -> alpha < Rabs g / G -> 0 < s * g.
Proof.
  intros pos small. apply Rmult_lt_compat_r with (1 := G_pos) in small.
  replace (Rabs g / G * G) with (Rabs g) in small by (field; lra).
  assert (0 <= alpha * G) by nra.
  destruct s, yhat; simpl in *; split_Rabs; lra.
Qed.

End Selector.

(** 1. Between two values of alpha without a threshold of a point where base and oracle differ,
no decision changes: the accuracy is a step function. *)
Section Steps.
Variables (point : Type) (points : list point) (g G : point -> R) (base yhat : point -> label).
Variables (f : R -> point -> label).
Hypothesis G_pos : forall i, 0 < G i.
Hypothesis base_is : decides g base.
Hypothesis f_is : forall alpha, decides (fun i => g i + alpha * yhat i * G i) (f alpha).

Lemma decides_weakly (h : point -> R) e i : decides h e -> 0 <= e i * h i.
Proof.
  intros is. destruct (Rtotal_order (h i) 0) as [lt | [-> | gt]]; [| lra |].
  - rewrite (proj2 (is i) lt). simpl. lra.
  - rewrite (proj1 (is i) gt). simpl. lra.
Qed.

Theorem proposition_L_steps alpha alpha' :
  0 <= alpha <= alpha' ->
  (forall i, In i points -> base i <> yhat i ->
    Rabs (g i) / G i < alpha \/ alpha' < Rabs (g i) / G i) ->
  forall i, In i points -> base i <> yhat i -> f alpha i = f alpha' i.
Proof.
  intros [pos order] no_threshold i inside differ.
  pose proof (decides_weakly _ _ i (f_is alpha)) as here.
  pose proof (decides_weakly _ _ i (f_is alpha')) as there. simpl in here, there.
  destruct (no_threshold i inside differ) as [above | below_].
  - rewrite (proposition_L_oracle (g i) (G i) alpha _ _ (G_pos i) here above).
    symmetry. apply (proposition_L_oracle (g i) (G i) alpha' _ _ (G_pos i) there). lra.
  - pose proof (proposition_L_base (g i) (G i) alpha _ _ (G_pos i) here pos ltac:(lra)).
    pose proof (proposition_L_base (g i) (G i) alpha' _ _ (G_pos i) there ltac:(lra) ltac:(lra)).
    destruct (f alpha i), (f alpha' i); try reflexivity; simpl in *; lra.
Qed.

(** Where base and oracle agree, no alpha changes anything, but at a score of 0. *)
Theorem proposition_L_agree alpha i :
  0 <= alpha -> g i <> 0 -> base i = yhat i -> f alpha i = base i.
Proof.
  intros pos nonzero agree. apply (decided _ _ _ _ (f_is alpha)).
  pose proof (decision_size g base i base_is nonzero). pose proof (Rabs_pos_lt _ nonzero).
  pose proof (G_pos i). rewrite <- agree.
  assert (0 <= alpha * G i) by nra. destruct (base i); simpl in *; lra.
Qed.

End Steps.

(** 2. Where base and oracle differ, the radius of Theorem B as a function of alpha: it vanishes at
the threshold D, and is piecewise linear. *)
Theorem proposition_L_radius (D n alpha : R) :
  0 <= n -> 0 <= alpha -> 0 <= D ->
  Rmax (D - alpha) (Rmin (alpha - D) n) =
  if Rle_dec alpha D then D - alpha else Rmin (- D + alpha) (Rmax n (- D - alpha)).
Proof.
  intros. destruct (Rle_dec alpha D); unfold Rmin, Rmax; repeat destruct (Rle_dec _ _); lra.
Qed.

(** 3. A link changes the thresholds: the gradient of psi(g) is psi'(g) grad g. *)
Section Link.
Context {E : space} (g : E -> R) (grad : E -> E) (psi slope : R -> R).
Hypothesis is_gradient : gradient g grad.
Hypothesis psi_derives : forall u, is_derive psi u (slope u).
Hypothesis slope_pos : forall u, 0 < slope u.

Theorem proposition_L_link :
  gradient (fun x => psi (g x)) (fun x => slope (g x) *' grad x) /\
  forall x, dual (slope (g x) *' grad x) = slope (g x) * dual (grad x).
Proof.
  split.
  - intros x d. rewrite dot_scale_l, Rmult_comm.
    apply (is_derive_comp psi (fun t => g (x +' t *' d))); [| apply is_gradient].
    rewrite scale_zero, add_zero. apply psi_derives.
  - intros x. rewrite dual_scale. f_equal. apply Rabs_right. left. apply slope_pos.
Qed.

End Link.

(** ** Lemma Q: the link that does not mask *)

(** With the probability margin g = tanh(z/2) of a logit z, whose gradient has the size
(1 - tanh(z/2)^2)/2 times that of z, the biased score has the sign of z + yhat asinh(alpha Z). *)
Section Masking.
Variables (z Z alpha : R) (yhat : label).
Hypotheses (Z_pos : 0 <= Z) (alpha_pos : 0 <= alpha).
Definition masked : R := tanh (z / 2) + alpha * yhat * ((1 - (tanh (z / 2))²) / 2 * Z).
Definition unmasked : R := z + yhat * arcsinh (alpha * Z).

Lemma cosh_pos u : 0 < cosh u.
Proof. unfold cosh. pose proof (exp_pos u). pose proof (exp_pos (- u)). lra. Qed.

Lemma sinh_double u : sinh (2 * u) = 2 * sinh u * cosh u.
Proof.
  unfold sinh, cosh. replace (2 * u) with (u + u) by ring.
  replace (- (u + u)) with (- u + - u) by ring. rewrite !exp_plus. field.
Qed.

Lemma cosh_sinh u : (cosh u)² - (sinh u)² = 1.
Proof.
  unfold sinh, cosh, Rsqr. pose proof (exp_plus u (- u)) as e.
  rewrite Rplus_opp_r, exp_0 in e. nra.
Qed.

Lemma masked_scaled : 2 * (cosh (z / 2))² * masked = sinh z + yhat * (alpha * Z).
Proof.
  pose proof (cosh_pos (z / 2)) as pos. pose proof (cosh_sinh (z / 2)) as one.
  assert (double : sinh z = 2 * sinh (z / 2) * cosh (z / 2))
    by (rewrite <- sinh_double; f_equal; field).
  rewrite double. unfold masked, tanh.
  set (c := cosh (z / 2)) in *. set (h := sinh (z / 2)) in *.
  transitivity (2 * h * c + yhat * (alpha * Z) * (c² - h²)); [| rewrite one; ring].
  unfold Rsqr. field. lra.
Qed.

Lemma sinh_signed u : sinh (yhat * u) = yhat * sinh u.
Proof.
  destruct yhat; simpl; [now rewrite !Rmult_1_l |].
  replace (-1 * u) with (- u) by ring. unfold sinh. rewrite Ropp_involutive. field.
Qed.

Theorem lemma_Q : (0 < masked <-> 0 < unmasked) /\ (masked < 0 <-> unmasked < 0).
Proof.
  pose proof masked_scaled as scaled. pose proof (cosh_pos (z / 2)) as pos.
  set (w := yhat * arcsinh (alpha * Z)) in *.
  assert (bias : yhat * (alpha * Z) = - sinh (- w)).
  { unfold w. rewrite <- Ropp_mult_distr_r_reverse, sinh_signed.
    replace (sinh (- arcsinh (alpha * Z))) with (- sinh (arcsinh (alpha * Z)))
      by (unfold sinh; rewrite Ropp_involutive; field).
    rewrite sinh_arcsinh. ring. }
  unfold unmasked. fold w. rewrite bias in scaled.
  assert (cosh2 : 0 < 2 * (cosh (z / 2))²) by (unfold Rsqr; nra).
  destruct (Rtotal_order z (- w)) as [lt | [eq | gt]].
  - pose proof (sinh_lt _ _ lt). split; split; intros; nra.
  - pose proof (f_equal sinh eq). assert (masked = 0) by nra. split; split; intros; lra.
  - pose proof (sinh_lt _ _ gt). split; split; intros; nra.
Qed.

End Masking.
