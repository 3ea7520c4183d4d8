(** * Spaces: what every theorem of the book assumes about vectors and norms

A point is a vector. The oracle measures with an inner product, the threat with a norm, and a
gradient with the dual of that norm. The laws below are all that the proofs use. *)

From Coq Require Import Reals Lra Psatz.
Open Scope R_scope.

Lemma abs_le a b : Rabs a <= b <-> - b <= a <= b.
Proof. split; intros H; [split_Rabs; lra | apply Rabs_le; lra]. Qed.

(** Vectors with the oracle's inner product. *)
Record inner_space := InnerSpace {
  vector :> Type;
  zero : vector;
  add : vector -> vector -> vector;
  scale : R -> vector -> vector;
  dot : vector -> vector -> R;
  add_comm : forall x y, add x y = add y x;
  add_assoc : forall x y z, add x (add y z) = add (add x y) z;
  add_zero : forall x, add x zero = x;
  scale_zero : forall x, scale 0 x = zero;
  scale_one : forall x, scale 1 x = x;
  scale_scale : forall a b x, scale a (scale b x) = scale (a * b) x;
  scale_add : forall a x y, scale a (add x y) = add (scale a x) (scale a y);
  add_scale : forall a b x, scale (a + b) x = add (scale a x) (scale b x);
  dot_comm : forall x y, dot x y = dot y x;
  dot_add : forall x y z, dot x (add y z) = dot x y + dot x z;
  dot_scale : forall a x y, dot x (scale a y) = a * dot x y;
  dot_pos : forall x, 0 <= dot x x;
  dot_zero : forall x, dot x x = 0 -> x = zero
}.

(** A threat norm with its dual: the largest value of [dot w] on the unit ball, attained. *)
Record space := Space {
  inner :> inner_space;
  norm : inner -> R;
  dual : inner -> R;
  norm_pos : forall x, 0 <= norm x;
  norm_zero : forall x, norm x = 0 -> x = zero inner;
  norm_scale : forall a x, norm (scale inner a x) = Rabs a * norm x;
  norm_add : forall x y, norm (add inner x y) <= norm x + norm y;
  dual_bound : forall w x, Rabs (dot inner w x) <= dual w * norm x;
  dual_attained : forall w, exists m, norm m <= 1 /\ dot inner w m = dual w
}.

Arguments zero {_}. Arguments add {_}. Arguments scale {_}. Arguments dot {_}.
Arguments norm {_}. Arguments dual {_}.

Declare Scope space_scope.
Notation "x +' y" := (add x y) (at level 50, left associativity) : space_scope.
Notation "a *' x" := (scale a x) (at level 40, left associativity) : space_scope.
Notation "x -' y" := (add x (scale (-1) y)) (at level 50, left associativity) : space_scope.
Notation "x • y" := (dot x y) (at level 40) : space_scope.
Open Scope space_scope.

(** ** What follows for any inner product *)

Section Inner.
Context {E : inner_space}.
Implicit Types x y z : E.

Lemma dot_add_l x y z : (x +' y) • z = x • z + y • z.
Proof. rewrite !(dot_comm _ _ z). apply dot_add. Qed.

Lemma dot_scale_l a x y : (a *' x) • y = a * (x • y).
Proof. rewrite !(dot_comm _ _ y). apply dot_scale. Qed.

Lemma dot_zero_r x : x • zero = 0.
Proof. rewrite <- (scale_zero _ zero), dot_scale. ring. Qed.

Lemma add_sub x y : x +' (y -' x) = y.
Proof.
  rewrite (add_comm _ y), add_assoc.
  replace (x -' x) with (scale (1 + -1) x) by (rewrite add_scale, scale_one; reflexivity).
  replace (1 + -1) with 0 by ring.
  rewrite scale_zero, add_comm. apply add_zero.
Qed.

Lemma sub_self x : x -' x = zero.
Proof.
  rewrite <- (scale_one _ x) at 1. rewrite <- add_scale. replace (1 + -1) with 0 by ring.
  apply scale_zero.
Qed.

Lemma add_then_sub x y : (x +' y) -' x = y.
Proof. rewrite (add_comm _ x y), <- add_assoc, sub_self. apply add_zero. Qed.

(** The Cauchy-Schwarz inequality. *)
Lemma cauchy_schwarz x y : (x • y) * (x • y) <= (x • x) * (y • y).
Proof.
  pose proof (dot_pos _ x). pose proof (dot_pos _ y).
  destruct (Req_dec (y • y) 0) as [flat | curved].
  - rewrite (dot_zero _ _ flat), !dot_zero_r. lra.
  - pose proof (dot_pos _ ((y • y) *' x -' (x • y) *' y)) as square.
    rewrite !dot_add, !dot_add_l, !dot_scale, !dot_scale_l, (dot_comm _ y x) in square.
    apply Rmult_le_reg_l with (y • y); lra.
Qed.

End Inner.

(** ** What follows for any norm *)

Section Norm.
Context {E : space}.
Implicit Types x y z w p q : E.

Lemma norm_of_zero : norm (zero : E) = 0.
Proof. rewrite <- (scale_zero _ zero), norm_scale, Rabs_R0. ring. Qed.

Lemma dot_le w x : w • x <= dual w * norm x.
Proof. apply Rle_trans with (1 := Rle_abs _), dual_bound. Qed.

Lemma dot_ge w x : - (dual w * norm x) <= w • x.
Proof. pose proof (dual_bound E w x) as bound. apply abs_le in bound. lra. Qed.

Lemma dual_pos w : 0 <= dual w.
Proof.
  destruct (dual_attained E w) as (m & short & reaches). pose proof (norm_pos E m).
  pose proof (dot_ge w m). destruct (Req_dec (norm m) 0) as [none | some].
  - apply norm_zero in none. rewrite none, dot_zero_r in reaches. lra.
  - nra.
Qed.

Lemma dual_nonzero w : w <> zero -> 0 < dual w.
Proof.
  intros nonzero. destruct (dual_pos w) as [pos | none]; [exact pos | exfalso].
  apply nonzero, dot_zero. pose proof (dual_bound E w w) as bound.
  rewrite <- none in bound. pose proof (dot_pos _ w). apply abs_le in bound. lra.
Qed.

(** The dual norm obeys the triangle inequality, so gradients that are close have close sizes. *)
Lemma dual_add p q : dual (p +' q) <= dual p + dual q.
Proof.
  destruct (dual_attained E (p +' q)) as (m & short & <-). rewrite dot_add_l.
  pose proof (dot_le p m). pose proof (dot_le q m). pose proof (dual_pos p).
  pose proof (dual_pos q). pose proof (norm_pos E m). nra.
Qed.

Lemma dual_scale a w : dual (a *' w) = Rabs a * dual w.
Proof.
  assert (below : forall a w, dual (a *' w) <= Rabs a * dual w).
  { intros b u. destruct (dual_attained E (b *' u)) as (m & short & <-). rewrite dot_scale_l.
    pose proof (dual_bound E u m). pose proof (dual_pos u). pose proof (Rabs_pos b).
    apply Rle_trans with (1 := Rle_abs _). rewrite Rabs_mult. pose proof (norm_pos E m).
    apply Rmult_le_compat_l; [assumption | nra]. }
  destruct (Req_dec a 0) as [-> | nonzero].
  { pose proof (below 0 w). pose proof (dual_pos (0 *' w)). rewrite Rabs_R0 in *. lra. }
  apply Rle_antisym; [apply below |].
  pose proof (below (/ a) (a *' w)) as back. rewrite scale_scale, Rinv_l in back by assumption.
  rewrite scale_one, Rabs_inv in back. pose proof (Rabs_pos_lt a nonzero) as pos.
  apply Rmult_le_reg_l with (/ Rabs a); [now apply Rinv_0_lt_compat |].
  rewrite <- Rmult_assoc, Rinv_l by lra. lra.
Qed.

Lemma dual_sub p q : Rabs (dual p - dual q) <= dual (p -' q).
Proof.
  pose proof (dual_add q (p -' q)) as one. rewrite add_sub in one.
  pose proof (dual_add p (q -' p)) as two. rewrite add_sub in two.
  replace (q -' p) with (scale (-1) (p -' q)) in two.
  - rewrite dual_scale, Rabs_left in two by lra. apply Rabs_le. lra.
  - rewrite scale_add, scale_scale. replace (-1 * -1) with 1 by ring.
    rewrite scale_one. apply add_comm.
Qed.

End Norm.

(** ** R^n, with the norms l1, l2 and linf: the laws are not empty *)

Fixpoint vec (n : nat) : Type := match n with O => unit | S m => (R * vec m)%type end.

Fixpoint fill {n} : vec n := match n with O => tt | S m => (0, fill) end.
Fixpoint plus {n} : vec n -> vec n -> vec n :=
  match n with O => fun _ _ => tt | S m => fun x y => (fst x + fst y, plus (snd x) (snd y)) end.
Fixpoint times {n} (a : R) : vec n -> vec n :=
  match n with O => fun _ => tt | S m => fun x => (a * fst x, times a (snd x)) end.
Fixpoint sum {n} : vec n -> vec n -> R :=
  match n with O => fun _ _ => 0 | S m => fun x y => fst x * fst y + sum (snd x) (snd y) end.

Lemma sum_pos n (x : vec n) : 0 <= sum x x.
Proof. induction n as [| n all]; simpl; [lra | specialize (all (snd x)); nra]. Qed.

Lemma sum_zero n (x : vec n) : sum x x = 0 -> x = fill.
Proof.
  induction n as [| n all]; [now destruct x | destruct x as [a x]; simpl; intros none].
  pose proof (sum_pos n x). f_equal; [nra | apply all; nra].
Qed.

(** An equation between vectors holds if it holds in each coordinate. *)
Ltac coordinates n :=
  induction n as [| n all]; intros;
  repeat match goal with x : vec O |- _ => destruct x | x : vec (S _) |- _ => destruct x end;
  simpl; try ring; try reflexivity; try (f_equal; [ring | apply all]).

(** R^n with the usual inner product. *)
Definition euclid (n : nat) : inner_space.
Proof.
  refine (InnerSpace (vec n) fill plus times sum _ _ _ _ _ _ _ _ _ _ _ (sum_pos n) (sum_zero n)).
  all: coordinates n; rewrite all; ring.
Defined.

(** l1: the sum of sizes; its dual is the largest size. l2: its own dual. linf: l1's dual. *)
Fixpoint total {n} : vec n -> R :=
  match n with O => fun _ => 0 | S m => fun x => Rabs (fst x) + total (snd x) end.
Fixpoint largest {n} : vec n -> R :=
  match n with O => fun _ => 0 | S m => fun x => Rmax (Rabs (fst x)) (largest (snd x)) end.

Lemma total_pos n (x : vec n) : 0 <= total x.
Proof.
  induction n as [| n all]; simpl; [lra |]. pose proof (Rabs_pos (fst x)).
  specialize (all (snd x)). lra.
Qed.

Lemma largest_pos n (x : vec n) : 0 <= largest x.
Proof. destruct n; simpl; [lra |]. apply Rle_trans with (2 := Rmax_l _ _), Rabs_pos. Qed.

Lemma total_zero n (x : vec n) : total x = 0 -> x = fill.
Proof.
  induction n as [| n all]; [now destruct x | destruct x as [a x]; simpl; intros none].
  pose proof (Rabs_pos a). pose proof (total_pos n x). f_equal; [| apply all; lra].
  split_Rabs; lra.
Qed.

Lemma largest_zero n (x : vec n) : largest x = 0 -> x = fill.
Proof.
  induction n as [| n all]; [now destruct x | destruct x as [a x]; simpl; intros none].
  pose proof (Rmax_l (Rabs a) (largest x)). pose proof (Rmax_r (Rabs a) (largest x)).
  pose proof (Rabs_pos a). pose proof (largest_pos n x).
  f_equal; [split_Rabs; lra | apply all; lra].
Qed.

Lemma total_times n a (x : vec n) : total (times a x) = Rabs a * total x.
Proof. induction n as [| n all]; simpl; [ring | rewrite Rabs_mult, all; ring]. Qed.

Lemma largest_times n a (x : vec n) : largest (times a x) = Rabs a * largest x.
Proof.
  induction n as [| n all]; simpl; [ring |].
  rewrite Rabs_mult, all. apply RmaxRmult, Rabs_pos.
Qed.

Lemma total_plus n (x y : vec n) : total (plus x y) <= total x + total y.
Proof.
  induction n as [| n all]; simpl; [lra |].
  pose proof (Rabs_triang (fst x) (fst y)). specialize (all (snd x) (snd y)). lra.
Qed.

Lemma largest_plus n (x y : vec n) : largest (plus x y) <= largest x + largest y.
Proof.
  induction n as [| n all]; simpl; [lra |]. specialize (all (snd x) (snd y)).
  pose proof (Rabs_triang (fst x) (fst y)).
  pose proof (Rmax_l (Rabs (fst x)) (largest (snd x))).
  pose proof (Rmax_r (Rabs (fst x)) (largest (snd x))).
  pose proof (Rmax_l (Rabs (fst y)) (largest (snd y))).
  pose proof (Rmax_r (Rabs (fst y)) (largest (snd y))).
  apply Rmax_lub; lra.
Qed.

(** Hoelder's inequality between l1 and linf, and where it is attained. *)
Lemma holder n (w x : vec n) : Rabs (sum w x) <= largest w * total x.
Proof.
  induction n as [| n all]; simpl; [rewrite Rabs_R0; lra |].
  specialize (all (snd w) (snd x)). apply Rle_trans with (1 := Rabs_triang _ _).
  rewrite Rabs_mult. pose proof (Rmax_l (Rabs (fst w)) (largest (snd w))).
  pose proof (Rmax_r (Rabs (fst w)) (largest (snd w))). pose proof (Rabs_pos (fst x)).
  pose proof (total_pos n (snd x)). nra.
Qed.

Definition sign_of (a : R) : R := if Rle_dec 0 a then 1 else -1.

Lemma sign_of_self a : a * sign_of a = Rabs a.
Proof. unfold sign_of. destruct (Rle_dec 0 a); split_Rabs; lra. Qed.

Lemma size_of_sign a : Rabs (sign_of a) = 1.
Proof. unfold sign_of. destruct (Rle_dec 0 a); split_Rabs; lra. Qed.

Lemma sum_fill n (w : vec n) : sum w fill = 0.
Proof. induction n as [| n all]; simpl; [ring | rewrite all; ring]. Qed.

Lemma total_fill n : total (fill : vec n) = 0.
Proof. induction n as [| n all]; simpl; [ring | rewrite all, Rabs_R0; ring]. Qed.

Lemma largest_attained n (w : vec n) : exists m, total m <= 1 /\ sum w m = largest w.
Proof.
  induction n as [| n all]; [exists fill; simpl; lra |].
  destruct w as [a w], (all w) as (m & short & reaches). simpl.
  destruct (Rle_dec (Rabs a) (largest w)) as [later | here].
  - exists (0, m). simpl. rewrite Rabs_R0, Rmax_right by lra. lra.
  - exists (sign_of a, fill). simpl. rewrite size_of_sign, total_fill, sum_fill, sign_of_self.
    rewrite Rmax_left; lra.
Qed.

Lemma total_attained n (w : vec n) : exists m, largest m <= 1 /\ sum w m = total w.
Proof.
  induction n as [| n all]; [exists fill; simpl; lra |].
  destruct w as [a w], (all w) as (m & short & reaches). exists (sign_of a, m). simpl.
  rewrite size_of_sign, sign_of_self, reaches. split; [apply Rmax_lub; lra | reflexivity].
Qed.

Definition l1 (n : nat) : space :=
  Space (euclid n) total largest (total_pos n) (total_zero n) (total_times n) (total_plus n)
    (holder n) (largest_attained n).

Lemma holder' n (w x : vec n) : Rabs (sum w x) <= total w * largest x.
Proof.
  replace (sum w x) with (sum x w) by apply (dot_comm (euclid n)).
  rewrite Rmult_comm. apply holder.
Qed.

Definition linf (n : nat) : space :=
  Space (euclid n) largest total (largest_pos n) (largest_zero n) (largest_times n)
    (largest_plus n) (holder' n) (total_attained n).

(** Any inner product has its own norm, which is its own dual. *)
Section Length.
Variable E : inner_space.
Definition length (x : E) := sqrt (x • x).

Lemma length_sqr x : length x * length x = x • x.
Proof. apply sqrt_sqrt, dot_pos. Qed.

Lemma length_pos x : 0 <= length x.
Proof. apply sqrt_pos. Qed.

Lemma length_zero x : length x = 0 -> x = zero.
Proof. intros none. apply dot_zero. rewrite <- length_sqr, none. ring. Qed.

Lemma length_scale a x : length (a *' x) = Rabs a * length x.
Proof.
  unfold length. rewrite dot_scale, dot_scale_l, <- Rmult_assoc, sqrt_mult.
  - f_equal. apply sqrt_Rsqr_abs.
  - apply Rle_0_sqr.
  - apply dot_pos.
Qed.

Lemma length_bound w x : Rabs (w • x) <= length w * length x.
Proof.
  pose proof (length_pos w). pose proof (length_pos x). pose proof (cauchy_schwarz w x) as square.
  rewrite <- !length_sqr in square. apply Rsqr_incr_0_var; [| nra].
  rewrite <- Rsqr_abs. unfold Rsqr. lra.
Qed.

Lemma length_add x y : length (x +' y) <= length x + length y.
Proof.
  pose proof (length_pos x). pose proof (length_pos y). pose proof (length_bound x y) as bound.
  apply abs_le in bound. apply Rsqr_incr_0_var; [| lra]. unfold Rsqr.
  rewrite length_sqr, dot_add, !dot_add_l, (dot_comm _ y x), <- !length_sqr. lra.
Qed.

Lemma length_attained w : exists m, length m <= 1 /\ w • m = length w.
Proof.
  destruct (Req_dec (length w) 0) as [none | some].
  - exists zero. rewrite none, dot_zero_r. unfold length. rewrite dot_zero_r, sqrt_0. lra.
  - pose proof (length_pos w) as pos. exists (/ length w *' w).
    rewrite length_scale, dot_scale, <- length_sqr, Rabs_right.
    + split; field_simplify; lra.
    + apply Rle_ge, Rlt_le, Rinv_0_lt_compat. lra.
Qed.

Definition own_norm : space :=
  Space E length length length_pos length_zero length_scale length_add length_bound
    length_attained.
End Length.

Definition l2 (n : nat) : space := own_norm (euclid n).
