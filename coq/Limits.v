(** * What smoothing cannot do: Propositions 3 and 5, and a step of Theorem 1

Of an expectation the proofs use that it is linear, monotone and keeps constants. *)

From Coq Require Import Reals Lra List.
From LBRS Require Import Space Radii Lipschitz.
Open Scope R_scope.

(** An expectation: which random numbers have a mean, and the mean. *)
Record expectation (Omega : Type) := Expectation {
  has_mean : (Omega -> R) -> Prop;
  mean : (Omega -> R) -> R;
  constant_has_mean : forall a, has_mean (fun _ => a);
  mean_constant : forall a, mean (fun _ => a) = a;
  sum_has_mean : forall U V, has_mean U -> has_mean V -> has_mean (fun e => U e + V e);
  mean_sum : forall U V, has_mean U -> has_mean V ->
    mean (fun e => U e + V e) = mean U + mean V;
  multiple_has_mean : forall a U, has_mean U -> has_mean (fun e => a * U e);
  mean_multiple : forall a U, has_mean U -> mean (fun e => a * U e) = a * mean U;
  mean_monotone : forall U V, has_mean U -> has_mean V -> (forall e, U e <= V e) ->
    mean U <= mean V;
  mean_extensional : forall U V, has_mean U -> (forall e, U e = V e) ->
    has_mean V /\ mean V = mean U
}.
Arguments has_mean {_}. Arguments mean {_}.

(** One exists: a point mass. *)
Definition point_mass {Omega} (e : Omega) : expectation Omega.
Proof.
  refine (Expectation Omega (fun _ => True) (fun U => U e) _ _ _ _ _ _ _ _); auto.
Defined.

(** And the mean of two of them, weighted. *)
Definition mixture {Omega} (p : R) (P Q : expectation Omega) : 0 <= p <= 1 -> expectation Omega.
Proof.
  intros part.
  refine (Expectation Omega (fun U => has_mean P U /\ has_mean Q U)
    (fun U => p * mean P U + (1 - p) * mean Q U) _ _ _ _ _ _ _ _).
  - intros. split; apply constant_has_mean.
  - intros. rewrite !mean_constant. ring.
  - intros U V [] []. split; now apply sum_has_mean.
  - intros U V [] []. rewrite !mean_sum by assumption. ring.
  - intros a U []. split; now apply multiple_has_mean.
  - intros a U []. rewrite !mean_multiple by assumption. ring.
  - intros U V [] [] le. pose proof (mean_monotone _ P U V). pose proof (mean_monotone _ Q U V).
    apply Rplus_le_compat; apply Rmult_le_compat_l; lra || auto.
  - intros U V [a b] equal. destruct (mean_extensional _ P U V a equal) as [a' ->].
    destruct (mean_extensional _ Q U V b equal) as [b' ->]. now split.
Defined.

Section Means.
Context {E F : space} {Omega : Type}.

(** A vector [m] is the mean of the random vector [V] if it is so in every direction. *)
Definition vector_mean {G : inner_space} (P : expectation Omega) (V : Omega -> G) (m : G) : Prop :=
  forall w, has_mean P (fun e => w • V e) /\ mean P (fun e => w • V e) = w • m.

(** The norm of a mean is at most the mean of any bound of the norms. *)
Lemma norm_of_mean (P : expectation Omega) (V : Omega -> F) m b :
  vector_mean P V m -> has_mean P b -> (forall e, dual (V e) <= b e) -> dual m <= mean P b.
Proof.
  intros is b_ bounded. destruct (dual_attained F m) as (w & short & <-).
  destruct (is w) as [exists_ equal]. rewrite (dot_comm _ m w), <- equal.
  apply mean_monotone; [exact exists_ | exact b_ |].
  intros e. rewrite dot_comm. apply Rle_trans with (1 := dot_le _ _).
  pose proof (bounded e). pose proof (dual_pos (V e)). pose proof (norm_pos F w). nra.
Qed.

(** The noise is the same for all points; its constant may differ from one draw to the next, and it
need hold on a set [U], moved by the draw, alone. Then the mean of the constants holds on [U]. *)
Theorem proposition_3_mean (P : expectation Omega) (noise : Omega -> E) (g g_mu : E -> F)
    (U : E -> Prop) L :
  (forall e x z, U x -> U z ->
    dual (g (x +' noise e) -' g (z +' noise e)) <= L e * norm (x -' z)) ->
  has_mean P L -> (forall x, U x -> vector_mean P (fun e => g (x +' noise e)) (g_mu x)) ->
  forall x z, U x -> U z -> dual (g_mu x -' g_mu z) <= mean P L * norm (x -' z).
Proof.
  intros lipschitz L_ smoothed x z x_in z_in.
  destruct (mean_extensional _ P (fun e => norm (x -' z) * L e) (fun e => L e * norm (x -' z)))
    as [exists_ equal]; [now apply multiple_has_mean | intros; ring |].
  rewrite mean_multiple, Rmult_comm in equal by exact L_. rewrite <- equal.
  apply (norm_of_mean P (fun e => g (x +' noise e) -' g (z +' noise e))); [| exact exists_ |].
  - intros w. destruct (smoothed x x_in w) as [one is_one], (smoothed z z_in w) as [two is_two].
    pose proof (multiple_has_mean _ P (-1) _ two) as minus.
    destruct (mean_extensional _ P (fun e => w • g (x +' noise e) + -1 * (w • g (z +' noise e)))
      (fun e => w • (g (x +' noise e) -' g (z +' noise e)))) as [there same].
    + now apply sum_has_mean.
    + intros e. now rewrite dot_add, dot_scale.
    + split; [exact there |]. rewrite same, mean_sum, mean_multiple by assumption.
      now rewrite is_one, is_two, dot_add, dot_scale.
  - intros e. now apply lipschitz.
Qed.

(** Proposition 3, locally: one constant for all draws. *)
Theorem proposition_3_local (P : expectation Omega) (noise : Omega -> E) (g g_mu : E -> F)
    (U : E -> Prop) L :
  (forall e x z, U x -> U z -> dual (g (x +' noise e) -' g (z +' noise e)) <= L * norm (x -' z)) ->
  (forall x, U x -> vector_mean P (fun e => g (x +' noise e)) (g_mu x)) ->
  forall x z, U x -> U z -> dual (g_mu x -' g_mu z) <= L * norm (x -' z).
Proof.
  intros lipschitz smoothed x z. rewrite <- (mean_constant _ P L).
  apply proposition_3_mean with (1 := lipschitz); [apply constant_has_mean | exact smoothed].
Qed.

(** Proposition 3: one measure for all points keeps Lipschitz constants, in any pair of norms. The
norm of the values is written as a dual norm; in R^n each norm is the dual of its own dual. *)
Theorem proposition_3 (P : expectation Omega) (noise : Omega -> E) (g g_mu : E -> F) L :
  (forall x z, dual (g x -' g z) <= L * norm (x -' z)) ->
  (forall x, vector_mean P (fun e => g (x +' noise e)) (g_mu x)) ->
  forall x z, dual (g_mu x -' g_mu z) <= L * norm (x -' z).
Proof.
  intros lipschitz smoothed x z.
  apply (proposition_3_local P noise g g_mu (fun _ => True)); auto.
  intros e y y' _ _. apply Rle_trans with (1 := lipschitz _ _). right. do 2 f_equal.
  rewrite scale_add, add_assoc, <- (add_assoc _ y), (add_comm _ (noise e)), add_assoc.
  rewrite <- add_assoc, sub_self. apply add_zero.
Qed.

(** Proposition 5: unbiased noise, another one at each point, leaves an affine score unchanged. *)
Theorem proposition_5 (P : E -> expectation Omega) (noise : E -> Omega -> E) a b :
  (forall x, vector_mean (P x) (noise x) zero) ->
  forall x, mean (P x) (fun e => a • (x +' noise x e) + b) = a • x + b.
Proof.
  intros unbiased x. destruct (unbiased x a) as [exists_ none]. rewrite dot_zero_r in none.
  destruct (mean_extensional _ (P x) (fun e => a • noise x e + (a • x + b))
    (fun e => a • (x +' noise x e) + b)) as [_ ->].
  - apply sum_has_mean; [exact exists_ | apply constant_has_mean].
  - intros e. rewrite dot_add. ring.
  - rewrite mean_sum, none, mean_constant by (exact exists_ || apply constant_has_mean). ring.
Qed.

(** With the mean [m] an affine score rises by [a • m]: equation (2), and only the mean matters. *)
Theorem equation_2 (P : expectation Omega) (noise : Omega -> E) a b m x :
  vector_mean P noise m -> mean P (fun e => a • (x +' noise e) + b) = a • x + b + a • m.
Proof.
  intros is. destruct (is a) as [exists_ equal].
  destruct (mean_extensional _ P (fun e => a • noise e + (a • x + b))
    (fun e => a • (x +' noise e) + b)) as [_ ->].
  - apply sum_has_mean; [exact exists_ | apply constant_has_mean].
  - intros e. rewrite dot_add. ring.
  - rewrite mean_sum, equal, mean_constant by (exact exists_ || apply constant_has_mean). ring.
Qed.

(** Symmetric noise and two classes: a squashed affine score, psi odd and non-decreasing, never gets
the opposite sign. [U] is what the noise adds to the affine score [v]. *)
Theorem symmetric_noise_keeps_the_sign (P : expectation Omega) (U : Omega -> R) psi v :
  (forall a, psi (- a) = - psi a) -> (forall a b, a <= b -> psi a <= psi b) ->
  has_mean P (fun e => psi (v + U e)) -> has_mean P (fun e => psi (v - U e)) ->
  mean P (fun e => psi (v - U e)) = mean P (fun e => psi (v + U e)) ->
  0 <= v -> 0 <= mean P (fun e => psi (v + U e)).
Proof.
  intros odd increases one two mirrored v_pos.
  enough (0 <= mean P (fun e => psi (v + U e) + psi (v - U e)))
    by (rewrite mean_sum, mirrored in H by assumption; lra).
  rewrite <- (mean_constant _ P 0).
  apply mean_monotone; [apply constant_has_mean | now apply sum_has_mean |].
  intros e. pose proof (increases (- (v + U e)) (v - U e) ltac:(lra)) as le. rewrite odd in le. lra.
Qed.

End Means.

(** ** Theorem 1, from Salman's lemma

That [sigma PhiInv] of a smoothed score is 1-Lipschitz is a statement about the normal
distribution. It is not proved here: it is the hypothesis [salman]. *)

Section Theorem1.
Context {E : space} {C : Type}.
Variables (score : C -> E -> R) (quantile : R -> R) (sigma : R) (f : E -> C).
Hypothesis sigma_pos : 0 < sigma.
Hypothesis quantile_increases : forall p q, 0 < p < 1 -> 0 < q < 1 -> p < q ->
  quantile p < quantile q.
Hypothesis score_between : forall c x, 0 < score c x < 1.
Hypothesis salman : forall c, lipschitz 1 (fun x => sigma * quantile (score c x)).

(** [f] is the class with the largest score, wherever there is one. *)
Hypothesis f_is : forall x y, (forall c, c <> y -> score c x < score y x) -> f x = y.

Lemma quantile_order p q : 0 < p < 1 -> 0 < q < 1 -> quantile p < quantile q -> p < q.
Proof.
  intros p_in q_in less. destruct (Rtotal_order p q) as [lt | [-> | gt]]; [exact lt | lra |].
  pose proof (quantile_increases q p q_in p_in gt). lra.
Qed.

(** Theorem 1: [y] wins on the open ball of half the difference of the two largest. *)
Theorem theorem_1 x d y y' :
  (forall c, c <> y -> score c x <= score y' x) ->
  norm d < sigma / 2 * (quantile (score y x) - quantile (score y' x)) -> f (x +' d) = y.
Proof.
  intros second short. apply f_is. intros c other. apply quantile_order; try apply score_between.
  pose proof (salman y x d) as from_y. pose proof (salman c x d) as from_c. cbv beta in *.
  apply abs_le in from_y. apply abs_le in from_c.
  assert (quantile (score c x) <= quantile (score y' x)).
  { destruct (second c other) as [lt | ->]; [left | now right].
    apply quantile_increases; try apply score_between. exact lt. }
  apply Rmult_lt_reg_l with (1 := sigma_pos). nra.
Qed.

(** At the edge [y] still has a largest score, perhaps not alone. *)
Theorem theorem_1_edge x d y y' :
  (forall c, c <> y -> score c x <= score y' x) ->
  norm d <= sigma / 2 * (quantile (score y x) - quantile (score y' x)) ->
  forall c, c <> y -> score c (x +' d) <= score y (x +' d).
Proof.
  intros second short c other. apply Rnot_lt_le. intros more.
  pose proof (quantile_increases _ _ (score_between y _) (score_between c _) more) as less.
  pose proof (salman y x d) as from_y. pose proof (salman c x d) as from_c. cbv beta in *.
  apply abs_le in from_y. apply abs_le in from_c.
  assert (quantile (score c x) <= quantile (score y' x)).
  { destruct (second c other) as [lt | ->]; [left | now right].
    apply quantile_increases; try apply score_between. exact lt. }
  apply Rmult_lt_compat_l with (1 := sigma_pos) in less. nra.
Qed.

End Theorem1.
