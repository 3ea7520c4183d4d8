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

(** ** Theorem K: a majority of k neighbours *)

Section Majority.
Context {E : space}.
Notation reference := (E * label)%type.
Implicit Types i j : reference.
Variable references : list reference.
Variable q : nat.
Hypothesis q_pos : (1 <= q)%nat.
Notation own y := (with_label same references y).

Definition count {A} (p : A -> bool) (l : list A) : nat := List.length (filter p l).
Definition at_least (t : R) (b : R) : bool := if Rle_dec t b then true else false.
Definition more (t : R) (b : R) : bool := if Rlt_dec t b then true else false.
Definition labelled (y : label) i : bool := if same (snd i) y then true else false.

(** The q-th largest of a list, and the q-th smallest: q are at least as large, but fewer are
larger; and the same downwards. *)
Definition largest_nth (l : list R) (b : R) : Prop :=
  (q <= count (at_least b) l)%nat /\ (count (more b) l < q)%nat.
Definition smallest_nth (l : list R) (b : R) : Prop :=
  (q <= count (fun a => at_least a b) l)%nat /\ (count (fun a => more a b) l < q)%nat.

(** The 2q - 1 points nearest to [z] are [near], none farther than any of [rest], and most of them
have the label [yhat z]. *)
Definition majority_oracle (yhat : E -> label) : Prop := forall z, exists near rest,
  Permutation references (near ++ rest) /\ List.length near = (2 * q - 1)%nat /\
  (forall j i, In j near -> In i rest -> rho2 z (fst j) <= rho2 z (fst i)) /\
  (q <= count (labelled (yhat z)) near)%nat.

Lemma count_le {A} (p p' : A -> bool) l :
  (forall a, In a l -> p a = true -> p' a = true) -> (count p l <= count p' l)%nat.
Proof.
  unfold count. induction l as [| a l all]; intros imp; simpl; [lia |].
  pose proof (imp a (or_introl eq_refl)) as here.
  assert (rest := all (fun b more => imp b (or_intror more))).
  destruct (p a), (p' a); simpl; lia || discriminate (here eq_refl).
Qed.

Lemma count_length {A} (p : A -> bool) l : (count p l <= List.length l)%nat.
Proof. unfold count. induction l as [| a l all]; simpl; [| destruct (p a); simpl]; lia. Qed.

Lemma count_none {A} (l : list A) : count (fun _ => false) l = 0%nat.
Proof. now induction l. Qed.

Lemma count_app {A} (p : A -> bool) l m : count p (l ++ m) = (count p l + count p m)%nat.
Proof. unfold count. rewrite filter_app, app_length. reflexivity. Qed.

Lemma count_perm {A} (p : A -> bool) l m : Permutation l m -> count p l = count p m.
Proof.
  unfold count. intros perm. induction perm; simpl; try congruence.
  - destruct (p x); simpl; congruence.
  - destruct (p x), (p y); simpl; congruence.
Qed.

Lemma count_map {A B} (f : A -> B) p l : count p (map f l) = count (fun a => p (f a)) l.
Proof.
  unfold count. induction l as [| a l all]; simpl; [easy |]. destruct (p (f a)); simpl; congruence.
Qed.

Lemma count_filter {A} (p p' : A -> bool) l :
  count p (filter p' l) = count (fun a => andb (p' a) (p a)) l.
Proof.
  unfold count. induction l as [| a l all]; simpl; [easy |].
  destruct (p' a), (p a) eqn:e; simpl; rewrite ?e; simpl; congruence.
Qed.

Lemma count_label_sum y l :
  (count (labelled y) l + count (labelled (opposite y)) l = List.length l)%nat.
Proof.
  unfold count, labelled. induction l as [| a l all]; simpl; [easy |].
  destruct a as [? []], y; simpl in *; lia.
Qed.

Variables (yhat : E -> label) (x : E).
Hypothesis majority : majority_oracle yhat.
Notation y := (yhat x).

(** The numbers max{b_ij, 0} of a challenger [j], and beta_j. *)
Definition defences j : list R := map (fun i => Rmax (bisector i j x) 0) (own y).
Variable beta : reference -> R.
Hypothesis beta_is : forall j, In j (own (opposite y)) -> largest_nth (defences j) (beta j).

(** A challenger among the nearest has overtaken all but q - 1 defenders. *)
Lemma overtakes d near rest j :
  Permutation references (near ++ rest) ->
  (forall j i, In j near -> In i rest -> rho2 (x +' d) (fst j) <= rho2 (x +' d) (fst i)) ->
  (count (labelled y) near < q)%nat -> In j near -> snd j = opposite y -> beta j <= norm d.
Proof.
  intros perm first few inside other. apply Rnot_lt_le. intros lt.
  assert (challenger : In j (own (opposite y))).
  { apply in_with. split; [| exact other]. apply (Permutation_in _ (Permutation_sym perm)).
    apply in_or_app. now left. }
  destruct (beta_is j challenger) as [enough _]. unfold defences in enough.
  rewrite count_map in enough. unfold with_label in enough. rewrite count_filter in enough.
  rewrite (count_perm _ _ _ perm), count_app in enough.
  set (stands := fun i => (_ && _)%bool) in enough.
  assert (none : count stands rest = 0%nat).
  { apply Nat.le_0_r, Nat.le_trans with (count (fun _ : reference => false) rest).
    - apply count_le. intros i behind yes. apply andb_prop in yes as [_ large].
      unfold at_least in large. destruct (Rle_dec (beta j) _) as [le |]; [exfalso | easy].
      pose proof (overtaking x d i j (first j i inside behind)). pose proof (norm_pos E d).
      unfold Rmax in le. destruct (Rle_dec (bisector i j x) 0); lra.
    - now rewrite count_none. }
  assert (count stands near <= count (labelled y) near)%nat; [| lia].
  apply count_le. intros i _ yes. now apply andb_prop in yes as [is _].
Qed.

(** If the label has changed, q challengers have a beta of at most the distance. *)
Lemma challengers d :
  yhat (x +' d) <> y -> (q <= count (fun j => at_least (beta j) (norm d)) (own (opposite y)))%nat.
Proof.
  intros flips. destruct (majority (x +' d)) as (near & rest & perm & size & first & most).
  destruct (label_cases (yhat (x +' d)) y) as [keeps | is]; [easy |]. rewrite is in most.
  pose proof (count_label_sum y near) as both.
  assert (few : (count (labelled y) near < q)%nat) by lia.
  apply Nat.le_trans with (1 := most). unfold with_label. rewrite count_filter.
  rewrite (count_perm _ _ _ perm), count_app.
  apply Nat.le_trans with (2 := Nat.le_add_r _ _). apply count_le. intros j inside other.
  unfold labelled in other. destruct (same (snd j) (opposite y)) as [its |]; [simpl | easy].
  pose proof (overtakes d near rest j perm first few inside its).
  unfold at_least. now destruct (Rle_dec (beta j) (norm d)).
Qed.

(** Theorem K: the majority keeps its label on the open ball of the q-th smallest beta. *)
Theorem theorem_K (r : R) :
  smallest_nth (map beta (own (opposite y))) r -> constant_within yhat x r.
Proof.
  intros [_ few] d short. destruct (same (yhat (x +' d)) y) as [keeps | flips]; [exact keeps |].
  pose proof (challengers d flips) as many. rewrite count_map in few. exfalso.
  assert ((count (fun j => at_least (beta j) (norm d)) (own (opposite y)) <=
    count (fun j => more (beta j) r) (own (opposite y)))%nat); [| lia].
  apply count_le. intros j _. unfold at_least, more. change (norm d < r) in short.
  destruct (Rle_dec (beta j) (norm d)), (Rlt_dec (beta j) r); lra || easy.
Qed.

(** With fewer than q points of the other label it never changes. *)
Theorem theorem_K_infinite :
  (List.length (own (opposite y)) < q)%nat -> constant_within yhat x p_infty.
Proof.
  intros few d _. destruct (same (yhat (x +' d)) y) as [keeps | flips]; [exact keeps |].
  pose proof (challengers d flips) as many.
  pose proof (count_length (fun j => at_least (beta j) (norm d)) (own (opposite y))). lia.
Qed.

End Majority.
