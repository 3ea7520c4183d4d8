(** * Counterexamples: what the paper leaves open, and what is false as stated *)

From Coq Require Import Reals Lra List Psatz.
From Coquelicot Require Import Coquelicot.
From LBRS Require Import Space Radii Neighbours Roots Smooth Linear Lipschitz Limits.
Import ListNotations.
Open Scope R_scope.

(** ** Ties: Theorem 6 on the closed ball *)

(** The line, and two reference points on it. *)
Definition line : space := linf 1.
Definition at_ (z : R) : line := (z, tt).
Definition two_points : list (line * label) := [(at_ (-1), Minus); (at_ 1, Plus)].

(** A nearest-neighbour oracle that says Minus at the tie 0. *)
Definition tie_to_minus (z : line) : label := if Rle_dec (fst z) 0 then Minus else Plus.

Lemma tie_to_minus_is_nearest : nearest_oracle two_points tie_to_minus.
Proof.
  intros [z []]. unfold tie_to_minus. simpl. destruct (Rle_dec z 0) as [left | right].
  - exists (at_ (-1), Minus). split; [split; [now left |] | reflexivity].
    intros k [<- | [<- | []]]; unfold rho2; simpl; nra.
  - exists (at_ 1, Plus). split; [split; [now right; left |] | reflexivity].
    intros k [<- | [<- | []]]; unfold rho2; simpl; nra.
Qed.

(** The score z itself, with alpha = 1, decided by its sign. *)
Definition tie_score : line -> R := g_mu (E := line) (at_ 1) 0 1 tie_to_minus.
Definition tie_decision (z : line) : label := if Rlt_dec 0 (tie_score z) then Plus else Minus.

Lemma tie_score_values :
  tie_score (at_ (3 / 5)) = 8 / 5 /\ tie_score (at_ (3 / 5) +' at_ (-3 / 5)) = - 1.
Proof.
  unfold tie_score, g_mu, g, tie_to_minus. simpl. split.
  - destruct (Rle_dec (3 / 5) 0); [lra |]. simpl. rewrite Rabs_right; lra.
  - destruct (Rle_dec _ 0); [| lra]. simpl. rewrite Rabs_right; lra.
Qed.

Lemma tie_decision_is : decides tie_score tie_decision.
Proof.
  intros z. unfold tie_decision. destruct (Rlt_dec 0 (tie_score z)); split; auto; lra.
Qed.

Lemma decision_at_the_tie :
  tie_decision (at_ (3 / 5)) = Plus /\ tie_decision (at_ (3 / 5) +' at_ (-3 / 5)) = Minus.
Proof.
  destruct tie_score_values as [here there]. unfold tie_decision. rewrite here, there.
  destruct (Rlt_dec 0 (8 / 5)), (Rlt_dec 0 (-1)); split; reflexivity || lra.
Qed.

Lemma step_is : norm (at_ (-3 / 5)) = 3 / 5.
Proof. simpl. rewrite Rabs_left, Rmax_left; lra. Qed.

Lemma neighbour_term :
  r_nghbr same two_points tie_to_minus (at_ 1, Plus) (at_ (3 / 5)) = Finite (3 / 5).
Proof.
  unfold r_nghbr. replace (tie_to_minus (at_ (3 / 5))) with Plus
    by (unfold tie_to_minus; simpl; destruct (Rle_dec (3 / 5) 0); [lra | reflexivity]).
  replace (without_label same two_points Plus) with [(at_ (-1), Minus)] by reflexivity.
  cbn [least fold_right].
  assert (bisects : @bisector line label (at_ 1, Plus) (at_ (-1), Minus) (at_ (3 / 5)) = 3 / 5).
  { unfold bisector, rho2. simpl. rewrite (Rabs_right (1 + -1 * -1)) by lra.
    destruct (Req_EM_T _ 0); [lra | field]. }
  rewrite bisects. unfold rmin. destruct (Rbar_le_dec _ p_infty) as [| no]; [reflexivity |].
  now contradiction no.
Qed.

(** Theorem 6 would be false for the closed ball: a step of exactly the radius leads to the tie of
the oracle, and the decision changes. *)
Theorem closed_ball_fails_6 :
  nearest_oracle two_points tie_to_minus /\ decides tie_score tie_decision /\
  Rbar_le (norm (at_ (-3 / 5)))
    (r_lin (E := line) (at_ 1) 0 1 tie_to_minus two_points (at_ 1, Plus) (at_ (3 / 5))) /\
  tie_decision (at_ (3 / 5) +' at_ (-3 / 5)) <> tie_decision (at_ (3 / 5)).
Proof.
  split; [exact tie_to_minus_is_nearest |]. split; [exact tie_decision_is |].
  destruct decision_at_the_tie as [-> ->]. split; [| discriminate].
  unfold r_lin. fold tie_score. rewrite neighbour_term, step_is, (proj1 tie_score_values).
  replace (@dual line (at_ 1)) with 1 by (simpl; rewrite Rabs_right; lra).
  rewrite Rabs_right by lra. unfold rmin. destruct (Rbar_le_dec _ _); simpl in *; lra.
Qed.

(** So would Theorem 8: the same score has a gradient that is 1-Lipschitz. *)
Theorem closed_ball_fails_8 :
  let g (z : line) := at_ 1 • z in
  let grad (_ : line) := at_ 1 in
  gradient g grad /\ smooth_within grad 1 (at_ (3 / 5)) p_infty /\
  nearest_oracle two_points tie_to_minus /\
  decides (Smooth.g_mu g grad 1 tie_to_minus) tie_decision /\
  Rbar_le (norm (at_ (-3 / 5))) (rmin (r_bdry g grad 1 1 tie_to_minus (at_ (3 / 5)))
    (r_nghbr same two_points tie_to_minus (at_ 1, Plus) (at_ (3 / 5)))) /\
  tie_decision (at_ (3 / 5) +' at_ (-3 / 5)) <> tie_decision (at_ (3 / 5)).
Proof.
  intros g0 grad. assert (one : @dual line (at_ 1) = 1) by (simpl; rewrite Rabs_right; lra).
  assert (score : forall z, Smooth.g_mu g0 grad 1 tie_to_minus z = tie_score z).
  { intros z. unfold Smooth.g_mu, tie_score, g_mu, g, g0, grad. rewrite Rplus_0_r. reflexivity. }
  split; [| split; [| split; [exact tie_to_minus_is_nearest | split; [| split]]]].
  - intros z d. unfold g0, grad. apply is_derive_ext with (fun t => at_ 1 • z + t * (at_ 1 • d)).
    { intros t. now rewrite dot_add, dot_scale. }
    auto_derive; [easy | now rewrite Rmult_1_l].
  - intros z z' _ _. unfold grad. rewrite sub_self, Rmult_1_l.
    replace (dual zero) with 0 by (simpl; rewrite Rabs_R0; ring). apply norm_pos.
  - intros z. rewrite score. apply tie_decision_is.
  - rewrite neighbour_term, step_is. unfold r_bdry. rewrite score, (proj1 tie_score_values).
    unfold Roots.B, grad. rewrite one, (Rabs_right (8 / 5)) by lra.
    assert (16 / 5 <= sqrt ((1 + 1 * 1)² + 4 * 1 * (8 / 5)))
      by (apply Roots.sqrt_above; unfold Rsqr; lra).
    unfold rmin. destruct (Rbar_le_dec _ _); simpl in *; lra.
  - destruct decision_at_the_tie as [-> ->]. discriminate.
Qed.

(** ** The misprint in the proof of Theorem 8 *)

(** With the two distances in the other order the quotient is never positive. *)
Theorem reversed_numerator {E : space} (references : list (E * label)) x i j :
  nearest references x i -> In j references -> fst i -' fst j <> zero ->
  (rho2 x (fst i) - rho2 x (fst j)) / (2 * dual (fst i -' fst j)) <= 0.
Proof.
  intros [_ first] member apart. pose proof (first j member).
  pose proof (dual_nonzero _ apart) as pos. apply Rmult_le_reg_r with (2 * dual (fst i -' fst j));
    [lra |]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(** ** Smoother does not mean constant over larger regions *)

(** A multiple of a score has a smaller constant, but the same decisions and distances. *)
Theorem scaling_changes_nothing {E : space} (h : E -> R) K c :
  0 < c -> 0 < K -> lipschitz K h ->
  lipschitz (c * K) (fun x => c * h x) /\
  (forall f, decides h f <-> decides (fun x => c * h x) f) /\
  forall x, Rabs (c * h x) / (c * K) = Rabs (h x) / K.
Proof.
  intros c_pos K_pos is. repeat split.
  - intros x d. specialize (is x d). rewrite <- Rmult_minus_distr_l, Rabs_mult, Rabs_right by lra.
    rewrite Rmult_assoc. apply Rmult_le_compat_l; lra.
  - intros pos. apply (H x). nra.
  - intros neg. apply (H x). nra.
  - intros pos. apply (H x). nra.
  - intros neg. apply (H x). nra.
  - intros x. rewrite Rabs_mult, (Rabs_right c) by lra. field. lra.
Qed.

(** ** Proposition 5 is about affine scores *)

(** Noise that is +2 or -2 with probability 9/20 each, and else 0, has the mean 0, *)
Definition half_part : 0 <= 1 / 2 <= 1. Proof. lra. Qed.
Definition most_part : 0 <= 9 / 10 <= 1. Proof. lra. Qed.
Definition symmetric_noise : expectation R :=
  mixture (9 / 10) (mixture (1 / 2) (point_mass 2) (point_mass (-2)) half_part) (point_mass 0)
    most_part.

(** and three affine scores on the line are -z to the left, 1 in the middle and z to the right. *)
Definition middle_wins (z : R) : Prop := - z < 1 /\ z < 1.
Definition votes_for_middle (z : R) : R := if Rlt_dec (Rabs z) 1 then 1 else 0.
Definition votes_for_right (z : R) : R := if Rlt_dec 1 z then 1 else 0.

(** The middle wins at 1/2, and loses the vote under this noise. *)
Theorem votes_change_the_class :
  mean symmetric_noise (fun e => e) = 0 /\ middle_wins (1 / 2) /\
  mean symmetric_noise (fun e => votes_for_middle (1 / 2 + e)) <
  mean symmetric_noise (fun e => votes_for_right (1 / 2 + e)).
Proof.
  unfold middle_wins, votes_for_middle, votes_for_right. simpl.
  split; [lra |]. split; [lra |].
  rewrite (Rabs_right (1 / 2 + 2)), (Rabs_left (1 / 2 + -2)), (Rabs_right (1 / 2 + 0)) by lra.
  repeat destruct (Rlt_dec _ _); lra.
Qed.

(** Skewed noise of mean 0, and a squashed affine score: the class changes. *)
Definition tenth : 0 <= 1 / 10 <= 1. Proof. lra. Qed.
Definition skewed_noise : expectation R :=
  mixture (1 / 10) (point_mass 10) (point_mass (- (10 / 9))) tenth.

Lemma tanh_below_1 u : tanh u < 1.
Proof.
  unfold tanh, sinh, cosh. pose proof (exp_pos u). pose proof (exp_pos (- u)).
  apply Rmult_lt_reg_r with ((exp u + exp (- u)) / 2); [lra |].
  unfold Rdiv at 1. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(** tanh u is at least u/(1 + u) for u >= 0. *)
Lemma tanh_above u : 0 <= u -> u / (1 + u) <= tanh u.
Proof.
  intros pos. unfold tanh, sinh, cosh. pose proof (exp_pos u). pose proof (exp_pos (- u)).
  assert (large : 1 + u <= exp u) by apply exp_ineq1_le.
  assert (small : exp u * exp (- u) = 1) by (rewrite <- exp_plus, Rplus_opp_r; apply exp_0).
  apply Rmult_le_reg_r with ((1 + u) * ((exp u + exp (- u)) / 2)); [nra |].
  replace (u / (1 + u) * ((1 + u) * ((exp u + exp (- u)) / 2)))
    with (u * ((exp u + exp (- u)) / 2)) by (field; lra).
  replace ((exp u - exp (- u)) / 2 / ((exp u + exp (- u)) / 2)
    * ((1 + u) * ((exp u + exp (- u)) / 2))) with ((1 + u) * ((exp u - exp (- u)) / 2))
    by (field; lra).
  assert ((1 + 2 * u) * exp (- u) <= exp u); [| lra].
  assert ((1 + u) * (1 + u) <= exp u * exp u) by nra. nra.
Qed.

Lemma tanh_odd u : tanh (- u) = - tanh u.
Proof.
  unfold tanh, sinh, cosh. rewrite Ropp_involutive. pose proof (exp_pos u).
  pose proof (exp_pos (- u)). field. lra.
Qed.

Theorem skewed_noise_changes_the_class :
  mean skewed_noise (fun e => e) = 0 /\ 0 < tanh (1 / 5) /\
  mean skewed_noise (fun e => tanh (1 / 5 + e)) < 0.
Proof.
  simpl. split; [lra |]. split; [pose proof (tanh_above (1 / 5)); lra |].
  replace (1 / 5 + - (10 / 9)) with (- (41 / 45)) by lra. rewrite tanh_odd.
  pose proof (tanh_below_1 (1 / 5 + 10)). pose proof (tanh_above (41 / 45)). lra.
Qed.

(** ** A measure that depends on the point *)

(** Proposition 3 needs one measure for all points: if the noise is +1 to the right and -1 to the
left of 0, the score z becomes one that jumps. *)
Theorem dependent_noise_jumps (K : R) :
  exists x z, K * Rabs (x - z) <
    Rabs ((x + (if Rle_dec 0 x then 1 else -1)) - (z + (if Rle_dec 0 z then 1 else -1))).
Proof.
  set (h := / (Rabs K + 1)). pose proof (Rabs_pos K).
  assert (h_pos : 0 < h) by (apply Rinv_0_lt_compat; lra).
  assert (h_is : h * (Rabs K + 1) = 1) by (unfold h; field; lra).
  exists 0, (- h). destruct (Rle_dec 0 0) as [_ | no]; [| lra].
  destruct (Rle_dec 0 (- h)) as [no | _]; [lra |].
  rewrite !Rabs_right by lra. pose proof (Rle_abs K). nra.
Qed.

(** ** A large bias needs a gradient *)

(** Where the gradient vanishes the bias does, for every alpha: the oracle is never heard. *)
Theorem no_gradient_no_bias (g : R) (yhat : label) :
  forall alpha, g + alpha * yhat * 0 = g.
Proof. intros. ring. Qed.

(** ** ReLU *)

(** A score with a kink: no L serves, and L = 0, which is its Hessian almost everywhere, would
certify everything, although the decision changes two hundredths away. *)
Definition kinked (z : R) : R := 1 + 50 * Rmax (z - 1 / 100) 0.

Lemma kinked_left z : z < 1 / 100 -> is_derive kinked z 0.
Proof.
  intros left. apply is_derive_ext_loc with (fun _ => 1 : R).
  - exists (mkposreal (1 / 100 - z) ltac:(lra)). intros y near. apply Rabs_def2 in near.
    change (y + - z < 1 / 100 - z /\ - (1 / 100 - z) < y + - z) in near.
    unfold kinked. rewrite Rmax_right by lra. change (1 = 1 + 50 * 0 :> R). lra.
  - exact (is_derive_const (1 : R) z).
Qed.

Lemma kinked_right z : 1 / 100 < z -> is_derive kinked z 50.
Proof.
  intros right. apply is_derive_ext_loc with (fun y => 1 + 50 * (y - 1 / 100)).
  - exists (mkposreal (z - 1 / 100) ltac:(lra)). intros y near. apply Rabs_def2 in near.
    change (y + - z < z - 1 / 100 /\ - (z - 1 / 100) < y + - z) in near.
    unfold kinked. rewrite Rmax_left by lra. reflexivity.
  - auto_derive; [easy | ring].
Qed.

(** Whatever slope one assigns to the kink itself. *)
Theorem relu_has_no_L (slope : R -> R) :
  (forall z, z <> 1 / 100 -> is_derive kinked z (slope z)) ->
  forall L, exists z z', L * Rabs (z - z') < Rabs (slope z - slope z').
Proof.
  intros is L. set (h := / (Rabs L + 1)). pose proof (Rabs_pos L) as size.
  assert (h_pos : 0 < h) by (apply Rinv_0_lt_compat; lra).
  assert (h_is : h * (Rabs L + 1) = 1) by (unfold h; field; lra).
  exists (1 / 100 + h), (1 / 100 - h).
  rewrite <- (is_derive_unique _ _ _ (is (1 / 100 + h) ltac:(lra))).
  rewrite <- (is_derive_unique _ _ _ (is (1 / 100 - h) ltac:(lra))).
  rewrite (is_derive_unique _ _ _ (kinked_right (1 / 100 + h) ltac:(lra))).
  rewrite (is_derive_unique _ _ _ (kinked_left (1 / 100 - h) ltac:(lra))).
  rewrite !Rabs_right by lra. pose proof (Rle_abs L). nra.
Qed.

Theorem relu_decision_changes (slope : R -> R) :
  (forall z, z <> 1 / 100 -> is_derive kinked z (slope z)) ->
  let g_mu z := kinked z + 1 / 10 * Minus * Rabs (slope z) in
  g_mu 0 = 1 /\ g_mu (2 / 100) = - (7 / 2).
Proof.
  intros is g_mu. unfold g_mu.
  rewrite <- (is_derive_unique _ _ _ (is 0 ltac:(lra))).
  rewrite <- (is_derive_unique _ _ _ (is (2 / 100) ltac:(lra))).
  rewrite (is_derive_unique _ _ _ (kinked_left 0 ltac:(lra))).
  rewrite (is_derive_unique _ _ _ (kinked_right (2 / 100) ltac:(lra))).
  unfold kinked. rewrite Rabs_R0, Rmax_right, Rmax_left by lra.
  rewrite Rabs_right by lra. simpl. split; lra.
Qed.

(** ** Rounding: half of the allowance for the gradient is not enough *)

(** A score and a gradient size, each computed within s(1 + |.|), s = 1/10000, with alpha = 10000:
after one allowance alpha s (1 + G) the computed margin at 0 is positive for 1000 units, and yet
it may be negative at 2. *)
Theorem half_the_allowance_fails :
  exists (g fl_g fl_G : R -> R) (G s alpha : R),
  (forall x, Rabs (fl_g x - g x) <= s * (1 + Rabs (g x))) /\
  (forall x, Rabs (fl_G x - G) <= s * (1 + G)) /\
  (forall x d, Rabs (g (x + d) - g x) <= G * Rabs d) /\
  1000 * G < fl_g 0 + alpha * fl_G 0 - s * (1 + Rabs (g 0)) - alpha * s * (1 + G) /\
  fl_g 2 + alpha * fl_G 2 < 0.
Proof.
  exists (fun x => 3 / 10000 * x - 5 / 2), (fun x => 3 / 10000 * x - 5 / 2),
    (fun x => 3 / 10000 + (if Rle_dec x 1 then 1 else -1) / 10000), (3 / 10000), (1 / 10000), 10000.
  repeat split.
  - intros x. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity.
    pose proof (Rabs_pos (3 / 10000 * x - 5 / 2)). lra.
  - intros x. destruct (Rle_dec x 1); split_Rabs; lra.
  - intros x d. replace (3 / 10000 * (x + d) - 5 / 2 - (3 / 10000 * x - 5 / 2))
      with (3 / 10000 * d) by ring. rewrite Rabs_mult, (Rabs_right (3 / 10000)); lra.
  - destruct (Rle_dec 0 1); [| lra]. rewrite Rabs_left; lra.
  - destruct (Rle_dec 2 1); lra.
Qed.
