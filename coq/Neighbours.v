(** * Nearest neighbours: Theorem A, its form for several classes, and Theorem K *)

From Coq Require Import Reals Lra Lia List Permutation.
From Coquelicot Require Import Rbar.
From LBRS Require Import Space Radii.
Import ListNotations.
Open Scope R_scope.

Section Neighbours.
Context {E : space} {Y : Type} (eq_dec : forall a b : Y, {a = b} + {a <> b}).
Implicit Types x z d : E.

(** A reference point with its label. *)
Notation reference := (E * Y)%type.
Implicit Types i j k : reference.
Variable references : list reference.

Definition rho2 x z : R := (x -' z) • (x -' z).
Definition with_label (y : Y) : list reference :=
  filter (fun i => if eq_dec (snd i) y then true else false) references.
Definition without_label (y : Y) : list reference :=
  filter (fun i => if eq_dec (snd i) y then false else true) references.

Lemma in_with y i : In i (with_label y) <-> In i references /\ snd i = y.
Proof. unfold with_label. rewrite filter_In. destruct (eq_dec (snd i) y); intuition easy. Qed.

Lemma in_without y i : In i (without_label y) <-> In i references /\ snd i <> y.
Proof. unfold without_label. rewrite filter_In. destruct (eq_dec (snd i) y); intuition easy. Qed.

(** The distance from [x] to the bisector of [x_k] and [x_j], and 0 if they are one point. *)
Definition bisector k j x : R :=
  if Req_EM_T (dual (fst k -' fst j)) 0 then 0
  else (rho2 x (fst j) - rho2 x (fst k)) / (2 * dual (fst k -' fst j)).

(** The difference of two squared distances is affine. *)
Lemma difference_of_squares x d a b :
  rho2 (x +' d) b - rho2 (x +' d) a = rho2 x b - rho2 x a + 2 * ((a -' b) • d).
Proof.
  unfold rho2. repeat rewrite ?dot_add, ?dot_add_l, ?dot_scale, ?dot_scale_l.
  rewrite (dot_comm _ d x), (dot_comm _ a x), (dot_comm _ b x), (dot_comm _ d a), (dot_comm _ d b).
  ring.
Qed.

(** Where [x_j] is as near as [x_k], one has gone at least to their bisector. *)
Lemma overtaking x d k j :
  rho2 (x +' d) (fst j) <= rho2 (x +' d) (fst k) -> bisector k j x <= norm d.
Proof.
  pose proof (difference_of_squares x d (fst k) (fst j)). intros nearer. unfold bisector.
  destruct (Req_EM_T _ 0) as [one | two]; [apply norm_pos |].
  pose proof (dot_ge (fst k -' fst j) d). pose proof (dual_pos (fst k -' fst j)).
  apply Rmult_le_reg_r with (2 * dual (fst k -' fst j)); [lra |].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(** [nearest z j]: no reference point is nearer to [z] than [j]. A nearest-neighbour oracle has the
label of such a point; of several it may take any. *)
Definition nearest z j : Prop :=
  In j references /\ forall k, In k references -> rho2 z (fst j) <= rho2 z (fst k).
Definition nearest_oracle (yhat : E -> Y) : Prop :=
  forall z, exists j, nearest z j /\ snd j = yhat z.

(** ** Theorem A *)

(** A label [y] other than that at [x] is out of reach before each of its points has overtaken
all points that have another label. *)
Definition reach_label y x : Rbar :=
  least (with_label y) (fun j => largest_of (without_label y) (fun i => bisector i j x)).

(** The class version of Theorem A: before [reach_label y] the oracle cannot say [y]. *)
Theorem theorem_A_classes yhat x d y :
  nearest_oracle yhat -> yhat (x +' d) = y -> ~ below (norm d) (reach_label y x).
Proof.
  intros oracle <-. destruct (oracle (x +' d)) as (j & (inside & first) & <-).
  unfold reach_label. rewrite below_least. intros short.
  destruct (proj1 (below_largest _ _ _) (short j (proj2 (in_with _ _) (conj inside eq_refl))))
    as (i & other & lt).
  apply in_without in other. apply Rlt_not_le with (1 := lt), overtaking, first, other.
Qed.

(** R_nb, the oracle's radius, and the paper's radius, which asks one defender only. *)
Definition R_nb (yhat : E -> Y) x : Rbar :=
  least (without_label (yhat x))
    (fun j => largest_of (with_label (yhat x)) (fun k => bisector k j x)).
Definition r_nghbr (yhat : E -> Y) i x : Rbar :=
  least (without_label (yhat x)) (fun j => bisector i j x).

(** Theorem A: the oracle keeps its label on the open ball of radius R_nb. *)
Theorem theorem_A yhat x : nearest_oracle yhat -> constant_within yhat x (R_nb yhat x).
Proof.
  intros oracle d. unfold R_nb. rewrite below_least. intros short.
  destruct (oracle (x +' d)) as (j & (inside & first) & is).
  destruct (eq_dec (yhat (x +' d)) (yhat x)) as [keeps | flips]; [exact keeps | exfalso].
  rewrite <- is in flips.
  destruct (proj1 (below_largest _ _ _) (short j (proj2 (in_without _ _) (conj inside flips))))
    as (k & own & lt).
  apply in_with in own. apply Rlt_not_le with (1 := lt), overtaking, first, own.
Qed.

(** The paper's radius is never larger. *)
Theorem theorem_A_paper yhat i x :
  In i references -> snd i = yhat x -> Rbar_le (r_nghbr yhat i x) (R_nb yhat x).
Proof.
  intros inside own. apply Rbar_not_lt_le. intros lt.
  assert (t : exists t : R, below t (r_nghbr yhat i x) /\ ~ below t (R_nb yhat x)).
  { unfold below. destruct (R_nb yhat x) as [b | |], (r_nghbr yhat i x) as [a | |];
      simpl in *; try easy; [exists b | exists b | exists (a - 1) | exists 0]; split; simpl; lra. }
  destruct t as (t & near & far). apply far. unfold R_nb. rewrite below_least. intros j other.
  apply below_largest. exists i. rewrite in_with. split; [easy |].
  now apply (proj1 (below_least _ _ _) near j).
Qed.

Corollary oracle_keeps_paper yhat i x :
  nearest_oracle yhat -> In i references -> snd i = yhat x ->
  constant_within yhat x (r_nghbr yhat i x).
Proof.
  intros oracle inside own d short. apply (theorem_A _ _ oracle).
  now apply below_le with (1 := short), theorem_A_paper.
Qed.

End Neighbours.
