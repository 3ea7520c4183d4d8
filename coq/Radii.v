(** * Labels, decisions and radii

A radius may be infinite, so it is a number of [Rbar]. What a certificate says is always the same:
below its radius nothing changes. So minima and maxima are known by what is below them. *)

From Coq Require Import Reals Lra List.
From Coquelicot Require Import Rbar.
From LBRS Require Import Space.
Open Scope R_scope.

(** ** Radii *)

Definition below (t : R) (r : Rbar) : Prop := Rbar_lt t r.
Definition rmin (a b : Rbar) : Rbar := if Rbar_le_dec a b then a else b.
Definition rmax (a b : Rbar) : Rbar := if Rbar_le_dec a b then b else a.

(** Read [below] as an inequality of numbers where the radius is one. *)
Ltac numbers := unfold below, Rbar_lt in *.

Lemma below_le t a b : below t a -> Rbar_le a b -> below t b.
Proof. apply Rbar_lt_le_trans. Qed.

Lemma below_min t a b : below t (rmin a b) <-> below t a /\ below t b.
Proof.
  unfold rmin. destruct (Rbar_le_dec a b) as [le | gt].
  - split; [intros lt; split; [| apply below_le with (2 := le)]; exact lt | tauto].
  - apply Rbar_not_le_lt, Rbar_lt_le in gt.
    split; [intros lt; split; [apply below_le with (2 := gt) |]; exact lt | tauto].
Qed.

Lemma below_max t a b : below t (rmax a b) <-> below t a \/ below t b.
Proof.
  unfold rmax. destruct (Rbar_le_dec a b) as [le | gt].
  - split; [tauto | intros [lt | lt]; [apply below_le with (2 := le) |]; exact lt].
  - apply Rbar_not_le_lt, Rbar_lt_le in gt.
    split; [tauto | intros [lt | lt]; [| apply below_le with (2 := gt)]; exact lt].
Qed.

(** The least and the largest of finitely many; of none, infinity and minus infinity. *)
Definition least {A} (l : list A) (f : A -> Rbar) : Rbar :=
  fold_right (fun j r => rmin (f j) r) p_infty l.
Definition largest_of {A} (l : list A) (f : A -> Rbar) : Rbar :=
  fold_right (fun j r => rmax (f j) r) m_infty l.

Lemma below_least {A} t (l : list A) f :
  below t (least l f) <-> forall j, In j l -> below t (f j).
Proof.
  induction l as [| i l all]; simpl; [now split |]. rewrite below_min, all.
  split; [intros [one rest] j [<- | more]; auto | auto].
Qed.

Lemma below_largest {A} t (l : list A) f :
  below t (largest_of l f) <-> exists j, In j l /\ below t (f j).
Proof.
  induction l as [| i l all]; simpl; [split; [easy | now intros (j & [] & _)] |].
  rewrite below_max, all. split.
  - intros [one | (j & more & lt)]; [exists i | exists j]; auto.
  - intros (j & [<- | more] & lt); [left | right; exists j]; auto.
Qed.

(** ** Labels and decisions *)

Inductive label := Plus | Minus.
Definition sgn (y : label) : R := match y with Plus => 1 | Minus => -1 end.
Coercion sgn : label >-> R.
Definition opposite (y : label) := match y with Plus => Minus | Minus => Plus end.
Definition same (y z : label) : {y = z} + {y <> z}.
Proof. decide equality. Defined.

Lemma label_cases (y z : label) : y = z \/ y = opposite z.
Proof. destruct y, z; auto. Qed.

Lemma label_sqr (y : label) : y * y = 1.
Proof. destruct y; simpl; ring. Qed.

(** [f] is the sign of the score [g]; where [g] is 0 it may be either label. *)
Definition decides {P} (g : P -> R) (f : P -> label) : Prop :=
  forall x, (0 < g x -> f x = Plus) /\ (g x < 0 -> f x = Minus).

Lemma decided {P} (g : P -> R) f (s : label) x : decides g f -> 0 < s * g x -> f x = s.
Proof. intros sign pos. destruct (sign x), s; simpl in pos; [apply H | apply H0]; lra. Qed.

Lemma decision_size {P} (g : P -> R) f x : decides g f -> g x <> 0 -> f x * g x = Rabs (g x).
Proof.
  intros sign nonzero. destruct (sign x) as [pos neg].
  destruct (Rtotal_order (g x) 0) as [lt | [none | gt]]; [| tauto |].
  - rewrite (neg lt), Rabs_left by assumption. simpl. ring.
  - rewrite (pos gt), Rabs_right by lra. simpl. ring.
Qed.

(** ** Certificates *)

Open Scope space_scope.

(** [what] does not change on the open ball of the radius [r] around [x]. *)
Definition constant_within {E : space} {Y} (what : E -> Y) (x : E) (r : Rbar) : Prop :=
  forall d, below (norm d) r -> what (x +' d) = what x.

(** Either the decision is safe as long as the oracle keeps its label, and as long as that is
true; or it is safe whatever the oracle says. The shape of Theorems B, E' and H. *)
Definition sign_aware (agree : bool) (along against oracle : Rbar) : Rbar :=
  if agree then rmin along (rmax oracle against) else against.

Definition agrees (s y : label) : bool := if same s y then true else false.

(** Let [s] be the decision at [x]. If [f] is [s] within [against], and within [along] wherever
the oracle says [s], then [f] is constant on the ball of the sign-aware radius. *)
Lemma sign_aware_holds {E : space} (f oracle : E -> label) x (along against certified : Rbar) :
  constant_within oracle x certified ->
  (forall d, below (norm d) against -> f (x +' d) = f x) ->
  (forall d, below (norm d) along -> oracle (x +' d) = f x -> f (x +' d) = f x) ->
  constant_within f x (sign_aware (agrees (f x) (oracle x)) along against certified).
Proof.
  intros keeps safe helped d. unfold sign_aware, agrees.
  destruct (same (f x) (oracle x)) as [agree | differ]; [| apply safe].
  rewrite below_min, below_max. intros [near [stays | far]]; [| apply safe, far].
  apply helped; [exact near |]. rewrite agree. apply keeps, stays.
Qed.
