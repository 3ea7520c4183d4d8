(** * The margin plane: Lemma V, Theorem U, the stairs, and Proposition T *)

From Coq Require Import Reals Lra List.
From Coquelicot Require Import Rbar.
From LBRS Require Import Space Radii Lipschitz.
Open Scope R_scope.

(** ** Lemma V *)

Section Meeting.
Context {E : space} {Y : Type} (yhat : E -> Y) (r : E -> R).
Implicit Types x z d : E.
Hypothesis certified : forall x, constant_within yhat x (r x).

(** Two points with different labels are at least as far apart as both radii together: otherwise
a point of the segment would lie in both balls. *)
Lemma radii_do_not_meet x d :
  0 <= r x -> 0 <= r (x +' d) -> yhat (x +' d) <> yhat x -> r x + r (x +' d) <= norm d.
Proof.
  intros pos pos' differ. apply Rnot_lt_le. intros overlap. pose proof (norm_pos E d) as long.
  assert (some : 0 < norm d).
  { destruct long as [gt | none]; [exact gt | exfalso]. symmetry in none.
    apply norm_zero in none. rewrite none, add_zero in differ. now apply differ. }
  set (c := (norm d + r x - r (x +' d)) / (2 * norm d)).
  assert (c_is : c * (2 * norm d) = norm d + r x - r (x +' d)) by (unfold c; field; lra).
  assert (from_x : forall a, Rabs a * norm d < r x -> yhat (x +' a *' d) = yhat x).
  { intros a short. apply certified. unfold below. simpl. now rewrite norm_scale. }
  assert (from_z : forall a, Rabs a * norm d < r (x +' d) ->
    yhat ((x +' d) +' a *' d) = yhat (x +' d)).
  { intros a short. apply certified. unfold below. simpl. now rewrite norm_scale. }
  assert (whole : forall a, 1 + a = c -> (x +' d) +' a *' d = x +' c *' d).
  { intros a <-. now rewrite <- add_assoc, add_scale, scale_one. }
  destruct (Rle_dec c 0) as [left | more].
  - apply differ. rewrite <- (from_z (-1)), <- add_assoc; [| rewrite Rabs_left by lra; nra].
    replace (d +' -1 *' d) with (zero : E) by (symmetry; apply sub_self).
    now rewrite add_zero.
  - destruct (Rle_dec 1 c) as [right | between].
    + apply differ. rewrite <- (from_x 1); [now rewrite scale_one | rewrite Rabs_R1; nra].
    + apply differ. rewrite <- (from_z (c - 1)), (whole (c - 1)) by
        (try rewrite Rabs_left; lra || nra).
      apply from_x. rewrite Rabs_right by lra. nra.
Qed.

End Meeting.

Section Signed.
Context {E : space} (yhat : E -> label) (r : E -> R).
Implicit Types x z d : E.
Hypothesis certified : forall x, constant_within yhat x (r x).

(** Lemma V: if the radius is 1-Lipschitz on each label's region, then it is 1-Lipschitz
everywhere once it has the sign of the label. *)
Hypothesis r_pos : forall x, 0 <= r x.
Hypothesis r_lipschitz : forall x d, yhat (x +' d) = yhat x -> Rabs (r (x +' d) - r x) <= norm d.

Theorem lemma_V : lipschitz 1 (fun x => yhat x * r x).
Proof.
  intros x d. rewrite Rmult_1_l. pose proof (r_pos x). pose proof (r_pos (x +' d)).
  destruct (same (yhat (x +' d)) (yhat x)) as [keeps | differ].
  - rewrite keeps. pose proof (r_lipschitz x d keeps). destruct (yhat x); simpl; split_Rabs; lra.
  - pose proof (radii_do_not_meet yhat r certified x d (r_pos x) (r_pos _) differ).
    destruct (label_cases (yhat (x +' d)) (yhat x)) as [e | e]; [contradiction |]. rewrite e.
    destruct (yhat x); simpl; split_Rabs; lra.
Qed.

End Signed.

(** ** Theorem U *)

Section Plane.
Context {E : space} (m o : E -> R) (U : R -> R -> Prop).
Implicit Types x d : E.
Hypotheses (m_lipschitz : lipschitz 1 m) (o_lipschitz : lipschitz 1 o).

(** A region that holds with a point all points further up or to the right. *)
Hypothesis closed_upwards : forall a b a' b', a <= a' -> b <= b' -> U a b -> U a' b'.

(** Theorem U: what the region still holds with both margins lowered by t, holds up to the
distance t; so it holds on the open ball of the supremum of such t. *)
Theorem theorem_U x d t :
  U (m x - t) (o x - t) -> norm d <= t -> U (m (x +' d)) (o (x +' d)).
Proof.
  intros holds short. pose proof (m_lipschitz x d) as one. pose proof (o_lipschitz x d) as two.
  apply abs_le in one. apply abs_le in two. apply closed_upwards with (3 := holds); lra.
Qed.

(** and the same for the other class. *)
Theorem theorem_U_below x d t :
  ~ U (m x + t) (o x + t) -> norm d <= t -> ~ U (m (x +' d)) (o (x +' d)).
Proof.
  intros out short inside. pose proof (m_lipschitz x d) as one. pose proof (o_lipschitz x d) as two.
  apply abs_le in one. apply abs_le in two. apply out, closed_upwards with (3 := inside); lra.
Qed.

(** As a radius: below every upper bound of those t that is the least one. *)
Theorem theorem_U_radius x r :
  is_lub (fun t => U (m x - t) (o x - t)) r ->
  forall d, norm d < r -> U (m (x +' d)) (o (x +' d)).
Proof.
  intros [_ least] d short.
  destruct (Classical_Prop.classic (exists t, U (m x - t) (o x - t) /\ norm d < t))
    as [(t & holds & further) | none].
  - apply theorem_U with t; [exact holds | lra].
  - exfalso. apply (Rlt_not_le r (norm d)); [exact short |]. apply least. intros t holds.
    apply Rnot_lt_le. intros further. apply none. now exists t.
Qed.

End Plane.

(** Nothing larger follows from the two margins: in the plane with the sup norm the margins are the
coordinates, and past the supremum the region is left. *)
Theorem theorem_U_sharp (U : R -> R -> Prop) (a b t r : R) :
  0 <= t < r -> ~ U (a - t) (b - t) ->
  exists (m o : linf 2 -> R) (x d : linf 2), lipschitz 1 m /\ lipschitz 1 o /\
  m x = a /\ o x = b /\ norm d < r /\ ~ U (m (x +' d)) (o (x +' d)).
Proof.
  intros [pos short] out.
  exists (fun z => fst z), (fun z => fst (snd z)), (a, (b, tt)), (- t, (- t, tt)).
  assert (coordinate : forall u v : R, Rabs u <= v -> Rabs u <= 1 * v) by (intros; lra).
  refine (conj _ (conj _ (conj eq_refl (conj eq_refl (conj _ out))))).
  - intros [z1 [z2 []]] [d1 [d2 []]]. apply coordinate. simpl.
    replace (z1 + d1 - z1) with d1 by ring. apply Rmax_l.
  - intros [z1 [z2 []]] [d1 [d2 []]]. apply coordinate. simpl.
    replace (z2 + d2 - z2) with d2 by ring. apply Rle_trans with (2 := Rmax_r _ _), Rmax_l.
  - simpl. rewrite !Rabs_Ropp, !Rabs_right by lra. rewrite (Rmax_left t 0), Rmax_left; lra.
Qed.

(** ** Theorem U for several classes *)

Section Classes.
Context {E : space} {C : Type} (eq_dec : forall a b : C, {a = b} + {a <> b}).
Variables (h : C -> E -> R) (K : R) (A : R -> R) (k : E -> C) (o : E -> R).
Implicit Types (x d : E) (c s : C).
Hypothesis K_pos : 0 < K.
Hypothesis differences : forall c c', lipschitz K (fun x => h c x - h c' x).
Hypothesis A_odd : forall a, A (- a) = - A a.
Hypothesis A_increases : forall a b, a <= b -> A a <= A b.

(** The oracle's class [k] has a certified radius [o], 1-Lipschitz on each class's region. *)
Hypothesis certified : forall x, constant_within k x (o x).
Hypothesis o_pos : forall x, 0 <= o x.
Hypothesis o_lipschitz : forall x d, k (x +' d) = k x -> Rabs (o (x +' d) - o x) <= norm d.

(** The class of the oracle gets a bonus that grows with its certainty. *)
Definition bonus c x : R := if eq_dec c (k x) then A (o x) else 0.
Definition total_score c x : R := h c x + K * bonus c x.
Definition certainty s x : R := if eq_dec s (k x) then o x else - o x.

Lemma A_sign a : 0 <= a -> 0 <= A a.
Proof.
  intros pos. assert (at_0 : A 0 = 0) by (pose proof (A_odd 0) as odd; rewrite Ropp_0 in odd; lra).
  rewrite <- at_0. now apply A_increases.
Qed.

(** What the bonus gives to [s] and not to [c] is at least [A] of the lowered certainty, or the
bonus plays no part and that is not positive. *)
Lemma bonus_falls s c x d t :
  c <> s -> norm d <= t ->
  A (certainty s x - t) <= bonus s (x +' d) - bonus c (x +' d) \/
  (A (certainty s x - t) <= 0 /\ 0 <= bonus s (x +' d) - bonus c (x +' d)).
Proof.
  intros other short. pose proof (norm_pos E d) as long. pose proof (o_pos x) as pos.
  pose proof (o_pos (x +' d)) as pos'. pose proof (A_sign _ pos') as gain.
  assert (fall : forall a b, a + b <= t -> A (a - t) <= - A b).
  { intros a b le. rewrite <- A_odd. apply A_increases. lra. }
  unfold bonus, certainty. destruct (eq_dec (k (x +' d)) (k x)) as [keeps | moves].
  - pose proof (o_lipschitz x d keeps) as near. apply abs_le in near. rewrite keeps.
    destruct (eq_dec s (k x)) as [-> | not_s], (eq_dec c (k x)) as [-> | not_c]; try easy.
    + left. rewrite Rminus_0_r. apply A_increases. lra.
    + left. rewrite Rminus_0_l, <- A_odd. apply A_increases. lra.
    + right. pose proof (fall (- o x) 0 ltac:(lra)). pose proof (A_sign 0 (Rle_refl 0)). lra.
  - pose proof (radii_do_not_meet k o certified x d pos pos' moves) as apart.
    pose proof (fall (o x) (o (x +' d)) ltac:(lra)) as loses.
    pose proof (fall (- o x) (o (x +' d)) ltac:(lra)) as loses'.
    destruct (eq_dec s (k x)), (eq_dec s (k (x +' d))), (eq_dec c (k (x +' d))); subst; try easy;
      try (left; lra); right; lra.
Qed.

(** Theorem U for several classes: [s] wins at the distance [t] if its base margin, lowered by t,
and the bonus of its certainty, lowered by t, are together positive. *)
Theorem theorem_U_classes s x d t :
  norm d <= t ->
  (forall c, c <> s -> 0 < (h s x - h c x) / K - t + A (certainty s x - t)) ->
  forall c, c <> s -> total_score c (x +' d) < total_score s (x +' d).
Proof.
  intros short wins c other. pose proof (wins c other) as margin.
  apply Rmult_lt_compat_r with (1 := K_pos) in margin. rewrite Rmult_0_l in margin.
  replace (((h s x - h c x) / K - t + A (certainty s x - t)) * K)
    with (h s x - h c x - K * t + K * A (certainty s x - t)) in margin by (field; lra).
  pose proof (differences s c x d) as moved. cbv beta in moved. apply abs_le in moved.
  assert (K * norm d <= K * t) by nra. unfold total_score.
  destruct (bonus_falls s c x d t other short) as [bound | [bound no_loss]].
  - apply Rmult_le_compat_l with (r := K) in bound; [lra | lra].
  - assert (K * A (certainty s x - t) <= 0) by nra.
    assert (0 <= K * (bonus s (x +' d) - bonus c (x +' d))) by nra. lra.
Qed.

End Classes.

(** ** The stairs *)

(** A bias alpha toward the oracle; where its margin exceeds tau the oracle decides alone. *)
Definition stairs (alpha tau m o : R) : Prop :=
  tau < o \/ (0 < o /\ - alpha < m) \/ (- tau < o /\ alpha < m).

Lemma stairs_closed_upwards alpha tau a b a' b' :
  a <= a' -> b <= b' -> stairs alpha tau a b -> stairs alpha tau a' b'.
Proof. unfold stairs. intros. intuition lra. Qed.

(** The closed form of their radius. *)
Theorem stairs_closed_form alpha tau m o t :
  stairs alpha tau (m - t) (o - t) <->
  t < Rmax (o - tau) (Rmax (Rmin o (m + alpha)) (Rmin (m - alpha) (o + tau))).
Proof.
  assert (below_max : forall a b, t < Rmax a b <-> t < a \/ t < b).
  { intros. unfold Rmax. destruct (Rle_dec a b); intuition lra. }
  assert (below_min : forall a b, t < Rmin a b <-> t < a /\ t < b).
  { intros. unfold Rmin. destruct (Rle_dec a b); intuition lra. }
  rewrite !below_max, !below_min. unfold stairs. intuition lra.
Qed.

(** LBRS is the stair without an end, and its radius that of Theorem H. *)
Theorem stairs_are_H alpha m o :
  0 <= alpha -> Rmax (Rmin o (m + alpha)) (m - alpha) = Rmin (m + alpha) (Rmax o (m - alpha)).
Proof.
  intros pos. unfold Rmin, Rmax. repeat destruct (Rle_dec _ _); lra.
Qed.

(** ** Proposition T *)

(** [m] is the base margin toward the true label [y]; the decision is [y] where the biased margin
is positive, and the radius is then that of Theorem H. *)
Definition certified_right (y yhat : label) (alpha m certified r : R) : Prop :=
  0 < m + alpha * (y * yhat) /\
  r <= (if same y yhat then Rmin (m + alpha) (Rmax certified (m - alpha)) else m - alpha).

Definition backed (y yhat : label) (certified r : R) : Prop := yhat = y /\ r <= certified.

(** Proposition T: a backed point is certified iff its margin is at least r - alpha, *)
Theorem proposition_T_backed y yhat alpha m certified r :
  0 < r -> 0 <= alpha -> backed y yhat certified r ->
  certified_right y yhat alpha m certified r <-> r - alpha <= m.
Proof.
  intros r_pos alpha_pos [-> far]. unfold certified_right. rewrite label_sqr, Rmult_1_r.
  destruct (same y y) as [_ | no]; [| now contradiction no].
  unfold Rmin, Rmax. repeat destruct (Rle_dec _ _); split; lra.
Qed.

(** and any other point iff it is at least r + alpha. *)
Theorem proposition_T_others y yhat alpha m certified r :
  0 < r -> 0 <= alpha -> ~ backed y yhat certified r ->
  certified_right y yhat alpha m certified r <-> r + alpha <= m.
Proof.
  intros r_pos alpha_pos not_backed. unfold certified_right, backed in *.
  destruct (same y yhat) as [<- | differ].
  - assert (near : certified < r).
    { apply Rnot_le_lt. intros far. now apply not_backed. }
    rewrite label_sqr. unfold Rmin, Rmax. repeat destruct (Rle_dec _ _); split; lra.
  - destruct (label_cases y yhat) as [e | ->]; [contradiction |].
    destruct yhat; simpl; split; lra.
Qed.
