(** * Averages under noise: waves, regions that shrink, and the worst scores

Steps of the chapters on smoothing and of Theorem G, for any expectation. Noise is symmetric if
[flip] mirrors it and no mean changes. *)

From Coq Require Import Reals Lra.
From LBRS Require Import Space Limits.
Open Scope R_scope.

Section Averages.
Context {Omega : Type} (P : expectation Omega).
Notation E := (mean P).

(** ** The smoothed score moves at speed one: the rearrangement

Of all weights [W] between 0 and 1 with the same mean, the half-line [tau <= U] gives the largest
mean of [W U]. *)
Theorem half_space_is_fastest W V U tau :
  (forall e, 0 <= W e <= 1) ->
  (forall e, tau <= U e -> V e = 1) -> (forall e, U e < tau -> V e = 0) ->
  has_mean P W -> has_mean P V ->
  has_mean P (fun e => W e * U e) -> has_mean P (fun e => V e * U e) ->
  E W = E V -> E (fun e => W e * U e) <= E (fun e => V e * U e).
Proof.
  intros between above below W_ V_ WU VU equal.
  pose proof (multiple_has_mean _ P tau V V_) as tV.
  pose proof (multiple_has_mean _ P tau W W_) as tW.
  assert (E (fun e => W e * U e + tau * V e) <= E (fun e => V e * U e + tau * W e)) as le.
  - apply mean_monotone; try now apply sum_has_mean.
    intros e. destruct (between e). destruct (Rle_lt_dec tau (U e)) as [more | less].
    + rewrite (above e more). nra.
    + rewrite (below e less). nra.
  - rewrite !mean_sum, !mean_multiple, equal in le by assumption. lra.
Qed.

(** ** Theorem G: a weight with mean 0 against a bounded score *)

Notation positive w := (fun e => Rmax (w e) 0).

Theorem theorem_G_step g w Osc :
  (forall e, 0 <= g e <= Osc) -> has_mean P w -> has_mean P (positive w) ->
  has_mean P (fun e => g e * w e) -> E w = 0 ->
  Rabs (E (fun e => g e * w e)) <= Osc * E (positive w).
Proof.
  intros between w_ part_ gw_ none.
  pose proof (multiple_has_mean _ P Osc _ part_) as top.
  pose proof (multiple_has_mean _ P Osc w w_) as all.
  apply abs_le. split.
  - enough (E (fun e => Osc * w e) <= E (fun e => g e * w e + Osc * Rmax (w e) 0)) as le
      by (rewrite mean_sum, !mean_multiple, none in le by assumption; lra).
    apply mean_monotone; [exact all | now apply sum_has_mean |].
    intros e. destruct (between e). unfold Rmax. destruct (Rle_dec (w e) 0); nra.
  - rewrite <- mean_multiple by exact part_. apply mean_monotone; [exact gw_ | exact top |].
    intros e. destruct (between e). unfold Rmax. destruct (Rle_dec (w e) 0); nra.
Qed.

(** It is attained by the score that is largest just where the weight is positive. *)
Theorem theorem_G_attained w Osc :
  has_mean P (positive w) ->
  E (fun e => (if Rlt_dec 0 (w e) then Osc else 0) * w e) = Osc * E (positive w).
Proof.
  intros part_. rewrite <- mean_multiple by exact part_.
  apply mean_extensional; [now apply multiple_has_mean |].
  intros e. unfold Rmax. destruct (Rlt_dec 0 (w e)), (Rle_dec (w e) 0); lra.
Qed.

(** ** Symmetric noise *)

Variable flip : Omega -> Omega.
Hypothesis symmetric : forall U, has_mean P U ->
  has_mean P (fun e => U (flip e)) /\ E (fun e => U (flip e)) = E U.

(** A wave is multiplied by its gain, a number of size 1 at most. *)
Theorem gain_of_a_wave U c :
  (forall e, U (flip e) = - U e) ->
  has_mean P (fun e => cos (U e)) -> has_mean P (fun e => sin (U e)) ->
  Rabs (E (fun e => cos (U e))) <= 1 /\
  E (fun e => cos (c + U e)) = E (fun e => cos (U e)) * cos c /\
  E (fun e => sin (c + U e)) = E (fun e => cos (U e)) * sin c.
Proof.
  intros mirrored C S.
  assert (E (fun e => sin (U e)) = 0) as none.
  { destruct (symmetric _ S) as [there same].
    destruct (mean_extensional _ P _ (fun e => -1 * sin (U e)) there) as [_ equal].
    - intros e. rewrite mirrored, sin_neg. ring.
    - rewrite mean_multiple in equal by exact S. lra. }
  split; [| split].
  - apply abs_le.
    split; [rewrite <- (mean_constant _ P (- (1))) | rewrite <- (mean_constant _ P 1)];
      apply mean_monotone; try apply constant_has_mean; try exact C; intros e; apply COS_bound.
  - destruct (mean_extensional _ P (fun e => cos c * cos (U e) + - sin c * sin (U e))
      (fun e => cos (c + U e))) as [_ ->].
    + apply sum_has_mean; now apply multiple_has_mean.
    + intros e. rewrite cos_plus. ring.
    + rewrite mean_sum, !mean_multiple, none by auto using multiple_has_mean. ring.
  - destruct (mean_extensional _ P (fun e => sin c * cos (U e) + cos c * sin (U e))
      (fun e => sin (c + U e))) as [_ ->].
    + apply sum_has_mean; now apply multiple_has_mean.
    + intros e. rewrite sin_plus. ring.
    + rewrite mean_sum, !mean_multiple, none by auto using multiple_has_mean. ring.
Qed.

(** Convex regions shrink: outside one, at most 1/2 of the noise leads into it. *)
Theorem convex_regions_shrink {V : inner_space} (C : V -> Prop) (member : V -> R) noise x :
  (forall a b, C a -> C b -> C (/ 2 *' (a +' b))) ->
  (forall z, (C z /\ member z = 1) \/ (~ C z /\ member z = 0)) ->
  (forall e, noise (flip e) = -1 *' noise e) ->
  has_mean P (fun e => member (x +' noise e)) -> ~ C x ->
  E (fun e => member (x +' noise e)) <= / 2.
Proof.
  intros convex either mirrored one outside.
  destruct (symmetric _ one) as [other same]. cbv beta in other, same.
  enough (E (fun e => member (x +' noise e) + member (x +' noise (flip e))) <= 1) as le
    by (rewrite mean_sum, same in le by assumption; lra).
  rewrite <- (mean_constant _ P 1).
  apply mean_monotone; [now apply sum_has_mean | apply constant_has_mean |]. intros e.
  destruct (either (x +' noise e)) as [[a ->] | [_ ->]],
    (either (x +' noise (flip e))) as [[b ->] | [_ ->]]; try lra.
  exfalso. apply outside. pose proof (convex _ _ a b) as middle. rewrite mirrored in middle.
  replace x with (/ 2 *' ((x +' noise e) +' (x -' noise e))); [exact middle |].
  rewrite (add_comm _ x (-1 *' _)), add_assoc, <- (add_assoc _ x), sub_self, add_zero.
  rewrite <- (scale_one _ x) at 1 2. rewrite <- add_scale, scale_scale.
  replace (/ 2 * (1 + 1)) with 1 by lra. apply scale_one.
Qed.

(** A squashed score that increases strictly keeps the sign, if what is positive everywhere has a
positive mean, as under every probability measure. *)
Theorem strict_noise_keeps_the_sign U psi v :
  (forall W, has_mean P W -> (forall e, 0 < W e) -> 0 < E W) ->
  (forall a, psi (- a) = - psi a) -> (forall a b, a < b -> psi a < psi b) ->
  (forall e, U (flip e) = - U e) -> has_mean P (fun e => psi (v + U e)) ->
  0 < v -> 0 < E (fun e => psi (v + U e)).
Proof.
  intros faithful odd increases mirrored one v_pos.
  destruct (symmetric _ one) as [other same]. cbv beta in other, same.
  enough (0 < E (fun e => psi (v + U e) + psi (v + U (flip e)))) as pos
    by (rewrite mean_sum, same in pos by assumption; lra).
  apply faithful; [now apply sum_has_mean |]. intros e. rewrite mirrored.
  pose proof (increases (- (v + U e)) (v + - U e) ltac:(lra)) as lt. rewrite odd in lt. lra.
Qed.

(** Votes under symmetric noise keep the sign, if it is short with positive probability. *)
Definition vote (a : R) : R := if Rlt_dec 0 a then 1 else if Rlt_dec a 0 then -1 else 0.

Theorem symmetric_votes_keep_the_sign U near v :
  (forall e, U (flip e) = - U e) ->
  (forall e, 0 <= near e <= 1) -> (forall e, 0 < near e -> Rabs (U e) < v) ->
  has_mean P (fun e => vote (v + U e)) -> has_mean P near ->
  0 < E near -> 0 <= v -> 0 < E (fun e => vote (v + U e)).
Proof.
  intros mirrored share short votes near_ likely v_pos.
  destruct (symmetric _ votes) as [other same]. cbv beta in other, same.
  enough (E (fun e => 2 * near e) <= E (fun e => vote (v + U e) + vote (v + U (flip e)))) as le
    by (rewrite mean_sum, mean_multiple, same in le by assumption; lra).
  apply mean_monotone; [now apply multiple_has_mean | now apply sum_has_mean |]. intros e.
  rewrite mirrored. destruct (share e). unfold vote.
  destruct (Rlt_dec 0 (near e)) as [some | none].
  - pose proof (short e some) as close. apply Rabs_def2 in close.
    destruct (Rlt_dec 0 (v + U e)), (Rlt_dec 0 (v + - U e)); lra.
  - destruct (Rlt_dec 0 (v + U e)), (Rlt_dec 0 (v + - U e)),
      (Rlt_dec (v + U e) 0), (Rlt_dec (v + - U e) 0); lra.
Qed.

End Averages.
