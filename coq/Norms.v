(** * Other norms and metrics: Lemma R and Lemma S

Both lemmas make a new space out of a given one, so that every theorem of the book holds there. *)

From Coq Require Import Reals Lra List.
From Coquelicot Require Import Coquelicot.
From LBRS Require Import Space Radii Neighbours Smooth Lipschitz.
Open Scope R_scope.

(** ** Lemma R: a norm after a linear change of variables

[T] has the inverse [T'], and [A] is the transpose of [T']. *)

Section Variables_.
Context {E : space} (T T' A : E -> E).
Hypotheses (T_add : forall x y, T (x +' y) = T x +' T y)
  (T_scale : forall a x, T (a *' x) = a *' T x)
  (back : forall x, T' (T x) = x) (forth : forall x, T (T' x) = x)
  (transpose : forall y x, A y • T x = y • x).

Definition moved : space.
Proof.
  refine (Space E (fun x => norm (T x)) (fun y => dual (A y)) _ _ _ _ _ _).
  - intros x. apply norm_pos.
  - intros x none. apply norm_zero in none. rewrite <- (back x), none.
    assert (T zero = zero) as origin
      by (rewrite <- (scale_zero _ zero) at 1; rewrite T_scale; apply scale_zero).
    transitivity (T' (T zero)); [now rewrite origin | apply back].
  - intros a x. rewrite T_scale. apply norm_scale.
  - intros x y. rewrite T_add. apply norm_add.
  - intros w x. rewrite <- (transpose w x). apply dual_bound.
  - intros w. destruct (dual_attained E (A w)) as (m & short & most).
    exists (T' m). rewrite forth. split; [exact short |]. rewrite <- most.
    rewrite <- (forth m) at 2. symmetry. apply transpose.
Defined.

Lemma T'_add x y : T' (x +' y) = T' x +' T' y.
Proof. rewrite <- (back (T' x +' T' y)), T_add, !forth. reflexivity. Qed.

Lemma T'_scale a x : T' (a *' x) = a *' T' x.
Proof. rewrite <- (back (a *' T' x)), T_scale, forth. reflexivity. Qed.

(** What is constant on a ball of the new norm is so on a ball of the old one, in new variables. *)
Theorem lemma_R {Y} (f : E -> Y) x r :
  constant_within (E := moved) f x r <-> constant_within (fun u => f (T' u)) (T x) r.
Proof.
  split; intros constant d short.
  - rewrite T'_add, back. apply (constant (T' d)). simpl. now rewrite forth.
  - specialize (constant (T d) short). cbv beta in constant.
    rewrite T'_add, !back in constant. exact constant.
Qed.

(** A constant K is the same number in both, *)
Theorem lemma_R_lipschitz K (h : E -> R) :
  lipschitz (E := moved) K h <-> lipschitz K (fun u => h (T' u)).
Proof.
  split; intros is x d.
  - rewrite T'_add. pose proof (is (T' x) (T' d)) as le. simpl in le. now rewrite forth in le.
  - pose proof (is (T x) (T d)) as le. cbv beta in le. rewrite T'_add, !back in le. exact le.
Qed.

(** and the gradient becomes [A] of it, with the new dual norm as its size. *)
Theorem lemma_R_gradient (g : E -> R) (grad : E -> E) :
  gradient g grad -> gradient (fun u => g (T' u)) (fun u => A (grad (T' u))).
Proof.
  intros is x d. pose proof (is (T' x) (T' d)) as slope.
  rewrite <- (transpose (grad (T' x)) (T' d)), forth in slope.
  apply (is_derive_ext (fun t => g (T' x +' t *' T' d))); [| exact slope].
  intros t. now rewrite T'_add, T'_scale.
Qed.
End Variables_.

(** ** Lemma S: the oracle's own metric

The oracle measures with [x • M x] in place of [x • x]. *)

Section Metric.
Context {E : space} (M : E -> E).
Hypotheses (M_add : forall x y, M (x +' y) = M x +' M y)
  (M_scale : forall a x, M (a *' x) = a *' M x)
  (symmetric : forall x y, M x • y = M y • x)
  (positive : forall x, 0 <= M x • x) (definite : forall x, M x • x = 0 -> x = zero).

Definition own_inner : inner_space.
Proof.
  refine (InnerSpace E zero add scale (fun x y => M x • y)
    (add_comm E) (add_assoc E) (add_zero E) (scale_zero E) (scale_one E) (scale_scale E)
    (scale_add E) (add_scale E) symmetric _ _ positive definite).
  - intros. apply dot_add.
  - intros. apply dot_scale.
Defined.

Definition own_metric : space.
Proof.
  refine (Space own_inner (norm : E -> R) (fun w => dual (M w)) (norm_pos E) (norm_zero E)
    (norm_scale E) (norm_add E) _ _).
  - intros w x. apply dual_bound.
  - intros w. apply dual_attained.
Defined.

(** The bisector of Lemma S: squared distances of the metric, and the dual norm of M (x_k - x_j). *)
Theorem lemma_S_bisector {Y} (k j : E * Y) (x : E) :
  let rho z := M (x -' z) • (x -' z) in
  bisector (E := own_metric) k j x =
    if Req_EM_T (dual (M (fst k -' fst j))) 0 then 0
    else (rho (fst j) - rho (fst k)) / (2 * dual (M (fst k -' fst j))).
Proof. reflexivity. Qed.

(** Theorem A with it: the label of an oracle with its own metric, in the threat norm. *)
Theorem lemma_S (references : list (E * label)) yhat x :
  nearest_oracle (E := own_metric) references yhat ->
  constant_within (E := E) yhat x (R_nb (E := own_metric) same references yhat x).
Proof. exact (theorem_A (E := own_metric) same references yhat x). Qed.
End Metric.
