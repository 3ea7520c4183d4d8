(** * Networks with ReLU: Proposition P

A network is a sum of its parts, and what is shared is written out. Its slope is that of the chain
rule; at a kink it may be that of either side. *)

From Coq Require Import Reals Lra List.
From Coquelicot Require Import Rbar.
From LBRS Require Import Space Radii Linear.
Import ListNotations.
Open Scope R_scope.

Section Network.
Context {E : space}.
Implicit Types x d w : E.

Inductive net :=
| Affine w (b : R)
| Sum (a : R) (m : net) (c : R) (n : net)
| Relu (n : net).

Fixpoint value n x : R := match n with
  | Affine w b => w • x + b
  | Sum a m c n => a * value m x + c * value n x
  | Relu n => Rmax (value n x) 0
  end.

Fixpoint slope n x : E := match n with
  | Affine w _ => w
  | Sum a m c n => a *' slope m x +' c *' slope n x
  | Relu n => if Rlt_dec 0 (value n x) then slope n x else zero
  end.

(** The pre-activations. *)
Fixpoint units n : list net := match n with
  | Affine _ _ => []
  | Sum _ m _ n => units m ++ units n
  | Relu n => n :: units n
  end.

(** The least distance at which one of them can vanish; those with gradient 0 are left out. *)
Definition r_region n x : Rbar := least (units n) (fun z =>
  if Req_EM_T (dual (slope z x)) 0 then p_infty else Rabs (value z x) / dual (slope z x)).

Lemma no_unit_vanishes n x d :
  (forall z, In z (units n) -> value z x <> 0) -> below (norm d) (r_region n x) ->
  forall z, In z (units n) -> dual (slope z x) * norm d < Rabs (value z x).
Proof.
  intros apart short z inside. unfold r_region in short. rewrite below_least in short.
  pose proof (short z inside) as near. cbv beta in near.
  destruct (Req_EM_T (dual (slope z x)) 0) as [none | some].
  - rewrite none, Rmult_0_l. apply Rabs_pos_lt, apart, inside.
  - pose proof (dual_pos (slope z x)) as pos.
    apply Rmult_lt_compat_l with (r := dual (slope z x)) in near; [| lra].
    replace (_ * (Rabs (value z x) / _)) with (Rabs (value z x)) in near by (field; exact some).
    exact near.
Qed.

(** Within that distance the network is affine. No segment is followed: each part is affine as those
that it is made of are. *)
Theorem one_linear_piece n x d :
  (forall z, In z (units n) -> value z x <> 0) -> below (norm d) (r_region n x) ->
  value n (x +' d) = value n x + slope n x • d /\ slope n (x +' d) = slope n x.
Proof.
  intros apart short. pose proof (no_unit_vanishes n x d apart short) as far.
  clear apart short. induction n as [w b | a m IHm c n IHn | n IHn]; simpl in *.
  - rewrite dot_add. split; [ring | reflexivity].
  - destruct IHm as [-> ->]; [intros z inside; apply far, in_or_app; auto |].
    destruct IHn as [-> ->]; [intros z inside; apply far, in_or_app; auto |].
    rewrite dot_add_l, !dot_scale_l. split; [ring | reflexivity].
  - destruct IHn as [moves ->]; [intros z inside; apply far; auto |].
    pose proof (far n (or_introl eq_refl)) as near. pose proof (dual_bound E (slope n x) d) as most.
    rewrite moves. apply abs_le in most. unfold Rmax.
    destruct (Rlt_dec 0 (value n x)) as [pos | neg].
    + rewrite Rabs_right in near by lra.
      destruct (Rlt_dec 0 _), (Rle_dec _ 0), (Rle_dec _ 0); try lra. now split.
    + assert (value n x <= 0) as low by lra. rewrite Rabs_left1 in near by exact low.
      rewrite (dot_comm _ zero), dot_zero_r.
      destruct (Rlt_dec 0 _), (Rle_dec _ 0), (Rle_dec _ 0); try lra; split; reflexivity || lra.
Qed.

(** ** Proposition P *)

Variables (n : net) (alpha : R) (yhat f : E -> label).
Hypothesis alpha_pos : 0 <= alpha.
Hypothesis f_is : decides (fun z => value n z + alpha * yhat z * dual (slope n z)) f.

Theorem proposition_P certified x :
  (forall z, In z (units n) -> value z x <> 0) -> slope n x <> zero ->
  constant_within yhat x certified ->
  let a := slope n x in let b := value n x - a • x in
  constant_within f x (rmin (r_region n x) (r_B a b alpha yhat f certified x)).
Proof.
  intros apart some keeps a b d. rewrite below_min. intros [piece short].
  set (score := fun z => g_mu a b alpha yhat z).
  set (f' := fun z => if Rlt_dec 0 (score z) then Plus
    else if Rlt_dec (score z) 0 then Minus else f z).
  assert (decides score f') as is'
    by (intros z; unfold f'; split; intros;
      destruct (Rlt_dec 0 (score z)), (Rlt_dec (score z) 0); reflexivity || lra).
  assert (forall e, below (norm e) (r_region n x) -> f' (x +' e) = f (x +' e)) as agree.
  { intros e near. destruct (one_linear_piece n x e apart near) as [affine same_slope].
    destruct (f_is (x +' e)) as [pos neg]. rewrite affine, same_slope in pos, neg.
    assert (score (x +' e) = value n x + a • e + alpha * yhat (x +' e) * dual a) as same
      by (unfold score, g_mu, g, b; rewrite dot_add; ring).
    unfold f'. fold a in pos, neg. rewrite <- same in pos, neg.
    destruct (Rlt_dec 0 (score _)) as [up |]; [symmetry; now apply pos |].
    destruct (Rlt_dec (score _) 0) as [down |]; [symmetry; now apply neg | reflexivity]. }
  assert (f' x = f x) as here.
  { rewrite <- (add_zero _ x). apply agree. rewrite norm_of_zero. revert piece.
    pose proof (norm_pos E d). unfold below. destruct (r_region n x); simpl; lra || auto. }
  rewrite <- (agree d piece), <- here.
  apply (theorem_B_oracle a b alpha some alpha_pos yhat f' is' certified x keeps).
  unfold r_B, R_own in *. now rewrite here.
Qed.

End Network.
