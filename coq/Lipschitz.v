(** * Lipschitz scores: Theorem H, Theorem O, Theorem M, and the ceiling N *)

From Coq Require Import Reals Lra List.
From Coquelicot Require Import Rbar.
From LBRS Require Import Space Radii Neighbours.
Open Scope R_scope.

(** [h] changes by at most K for each unit of distance. *)
Definition lipschitz {E : space} (K : R) (h : E -> R) : Prop :=
  forall x d, Rabs (h (x +' d) - h x) <= K * norm d.

Section TwoClasses.
Context {E : space} (h : E -> R) (K alpha : R).
Implicit Types x d : E.
Hypothesis K_pos : 0 < K.
Hypothesis alpha_pos : 0 <= alpha.
Hypothesis h_lipschitz : lipschitz K h.

(** The oracle is any labelling, the bias as large as the constant allows. *)
Variables (yhat f : E -> label).
Definition h_mu x : R := h x + alpha * K * yhat x.
Hypothesis f_is : decides h_mu f.

(** The margin of the base score toward the decision, in units of distance; it may be negative. *)
Definition margin x : R := f x * h x / K.
Definition r_H (certified : Rbar) x : Rbar :=
  sign_aware (agrees (f x) (yhat x)) (margin x + alpha) (margin x - alpha) certified.

Lemma margin_falls x d c :
  norm d < margin x + c -> 0 < f x * h (x +' d) + c * K.
Proof.
  unfold margin. intros short. apply Rmult_lt_compat_r with (1 := K_pos) in short.
  replace ((f x * h x / K + c) * K) with (f x * h x + c * K) in short by (field; lra).
  pose proof (h_lipschitz x d) as moved. apply abs_le in moved. destruct (f x); simpl in *; lra.
Qed.

(** Theorem O, of which H is the case of nearest neighbours: any oracle with any certified radius
will do. *)
Theorem theorem_O certified x :
  constant_within yhat x certified -> constant_within f x (r_H certified x).
Proof.
  intros keeps. apply sign_aware_holds; [exact keeps | |].
  - intros d short. apply (decided _ _ _ _ f_is). unfold h_mu.
    apply (margin_falls x d (- alpha)) in short.
    destruct (f x), (yhat (x +' d)); simpl in *; nra.
  - intros d short helps. apply (decided _ _ _ _ f_is). unfold h_mu. rewrite helps.
    apply (margin_falls x d alpha) in short. destruct (f x); simpl in *; lra.
Qed.

(** Theorem H. *)
Theorem theorem_H references x :
  nearest_oracle references yhat ->
  constant_within f x (r_H (R_nb same references yhat x) x).
Proof. intros oracle. apply theorem_O, theorem_A, oracle. Qed.

(** Proposition N, the ceiling: where neither the base score (radius [margin x]) nor the oracle
is certified for the decision at the distance [t], the sum of both is not either. *)
Theorem proposition_N certified x t :
  below t (r_H certified x) ->
  below t (margin x) \/ (yhat x = f x /\ below t certified).
Proof.
  unfold r_H, sign_aware, agrees. destruct (same (f x) (yhat x)) as [agree | differ].
  - rewrite below_min, below_max. intros [_ [oracle | base]]; [now right | left].
    numbers. lra.
  - intros base. left. numbers. lra.
Qed.

(** Where an oracle abstains its label is unknown, and only the flip-safe part remains. *)
Theorem theorem_O_abstain x d :
  norm d < margin x - alpha -> f (x +' d) = f x.
Proof.
  intros short. apply (decided _ _ _ _ f_is). unfold h_mu.
  apply (margin_falls x d (- alpha)) in short.
  destruct (f x), (yhat (x +' d)); simpl in *; nra.
Qed.

End TwoClasses.

(** ** Theorem M: several classes *)

Section SeveralClasses.
Context {E : space} {C : Type} (eq_dec : forall a b : C, {a = b} + {a <> b}).
Implicit Types (x d : E) (c s k : C).
Variables (classes : list C) (h : C -> E -> R) (K alpha : R).
Hypothesis all_classes : forall c, In c classes.
Hypothesis K_pos : 0 < K.

(** Differences of scores have constants of their own, none above K; equal ones are Theorem M. *)
Variable pair : C -> C -> R.
Hypothesis pair_pos : forall c c', c <> c' -> 0 < pair c c'.
Hypothesis differences : forall c c', c <> c' -> lipschitz (pair c c') (fun x => h c x - h c' x).

Definition one c c' : R := if eq_dec c c' then 1 else 0.

(** The class of the oracle gets a bonus, and the largest score wins; [f x] is a class that no
other beats or equals, wherever there is one. *)
Variables (oracle f : E -> C).
Definition S c x : R := h c x + alpha * K * one c (oracle x).
Definition wins s x : Prop := forall c, c <> s -> S c x < S s x.
Hypothesis f_is : forall x s, wins s x -> f x = s.

(** How far [s] would win if the oracle said [k]. *)
Definition R_class s k x : Rbar :=
  least (filter (fun c => if eq_dec c s then false else true) classes)
    (fun c => (h s x - h c x + alpha * K * (one s k - one c k)) / pair s c).

Lemma wins_within s x d :
  below (norm d) (R_class s (oracle (x +' d)) x) -> wins s (x +' d).
Proof.
  unfold R_class. rewrite below_least. intros short c other.
  assert (lt : norm d < (h s x - h c x + alpha * K *
    (one s (oracle (x +' d)) - one c (oracle (x +' d)))) / pair s c).
  { apply (short c), filter_In. split; [apply all_classes | now destruct (eq_dec c s)]. }
  pose proof (pair_pos s c (not_eq_sym other)) as pos.
  apply Rmult_lt_compat_r with (1 := pos) in lt. unfold Rdiv in lt.
  rewrite Rmult_assoc, Rinv_l, Rmult_1_r in lt by lra.
  pose proof (differences s c (not_eq_sym other) x d) as moved. apply abs_le in moved.
  unfold S. lra.
Qed.

(** Theorem M for any oracle: [nb k] is a radius within which it cannot say [k]. *)
Definition r_M s (nb : C -> Rbar) x : Rbar :=
  least classes (fun k => rmax (nb k) (R_class s k x)).

Theorem theorem_M_oracle s nb x :
  wins s x -> (forall k d, oracle (x +' d) = k -> ~ below (norm d) (nb k)) ->
  constant_within f x (r_M s nb x).
Proof.
  intros wins_here out d. unfold r_M. rewrite below_least. intros short.
  rewrite (f_is x s wins_here). apply f_is, wins_within.
  pose proof (short (oracle (x +' d)) (all_classes _)) as here. apply below_max in here.
  destruct here as [near | far]; [| exact far].
  contradiction (out (oracle (x +' d)) d eq_refl near).
Qed.

(** Theorem M, with the nearest reference point's class for the oracle. *)
Variable references : list (E * C).
Definition nb x k : Rbar :=
  if eq_dec k (oracle x) then 0 else rmax 0 (reach_label eq_dec references k x).

Theorem theorem_M s x :
  nearest_oracle references oracle -> wins s x -> constant_within f x (r_M s (nb x) x).
Proof.
  intros is wins_here. apply theorem_M_oracle; [exact wins_here |]. intros k d said near.
  pose proof (norm_pos E d) as long. unfold nb in near. destruct (eq_dec k (oracle x)).
  - numbers. lra.
  - apply below_max in near. destruct near as [none | near]; [numbers; lra |].
    exact (theorem_A_classes eq_dec references oracle x d k is said near).
Qed.

End SeveralClasses.
