(** * Theorem J: the flip of the oracle and the failure of the score at one and the same point *)

From Coq Require Import Reals Lra List Psatz.
From Coquelicot Require Import Coquelicot.
From LBRS Require Import Space Radii Neighbours Roots Smooth.
Open Scope R_scope.

Section Joint.
Context {E : space} (g : E -> R) (grad : E -> E) (L alpha : R) (yhat f : E -> label).
Implicit Types x d : E.
Hypothesis is_gradient : gradient g grad.
Hypotheses (L_pos : 0 < L) (alpha_pos : 0 <= alpha).
Hypothesis f_is : decides (g_mu g grad alpha yhat) f.
Variable references : list (E * label).
Hypothesis oracle : nearest_oracle references yhat.

Variable x : E.
Hypothesis nonzero : g_mu g grad alpha yhat x <> 0.
Hypothesis smooth : smooth_within grad L x p_infty.

(** Base score and oracle agree. *)
Notation s := (f x).
Hypothesis agree : f x = yhat x.
Notation v := (s * g x).
Notation G := (dual (grad x)).

(** What the score must have lost along its gradient, for a failure within the distance t. *)
Definition c (t : R) : R := v - L * t² / 2 - alpha * (G + L * t).

(** The polyhedron of an opposite point [j]: (i) it overtakes all points with the present label,
and (ii) the linear part of the score has lost [c t]. *)
Definition joint (j : E * label) (t : R) d : Prop :=
  (forall k, In k references -> snd k = s ->
    (rho2 x (fst j) - rho2 x (fst k)) / 2 <= (fst j -' fst k) • d) /\
  c t <= - s * (grad x • d).

(** [safe_from j r]: for no t below r does the polyhedron come nearer than t. The largest such r is
the solution of t = d_j(t). *)
Definition safe_from (j : E * label) (r : R) : Prop :=
  forall t d, 0 <= t < r -> joint j t d -> t <= norm d.

(** The linear part of the score loses at most what the curvature leaves. *)
Lemma linear_part d : v + s * (grad x • d) - L * (norm d)² / 2 <= s * g (x +' d).
Proof.
  set (phi := fun u => s * g (x +' u *' d)).
  pose proof (rises phi (fun u => s * (grad (x +' u *' d) • d))
    (s * (grad x • d)) (- (L * (norm d)²)) 0 1 ltac:(lra)) as rise.
  unfold phi in rise. rewrite scale_one, scale_zero, add_zero in rise.
  enough (steep : forall t, 0 <= t <= 1 ->
    s * (grad x • d) + - (L * (norm d)²) * t <= s * (grad (x +' t *' d) • d)).
  { specialize (rise (fun t => is_derive_scal (fun u => g (x +' u *' d)) t s _
      (derive_along g grad is_gradient x d t)) steep). unfold Rsqr in *. lra. }
  intros t part. pose proof (smooth (x +' t *' d) x I I) as change.
  rewrite add_then_sub, norm_scale, Rabs_right in change by lra.
  pose proof (dual_bound E (grad (x +' t *' d) -' grad x) d) as bound.
  rewrite dot_add_l, dot_scale_l in bound. apply abs_le in bound.
  pose proof (norm_pos E d) as long. unfold Rsqr.
  assert (dual (grad (x +' t *' d) -' grad x) * norm d <= L * (t * norm d) * norm d)
    by (apply Rmult_le_compat_r; assumption).
  destruct s; simpl; lra.
Qed.

(** A change of the decision lies in the polyhedron of the point that the oracle then hears. *)
Lemma change_is_joint d :
  norm d < rho_plus v G L alpha -> f (x +' d) <> s ->
  exists j, In j references /\ snd j <> s /\ joint j (norm d) d.
Proof.
  intros short changed. destruct (oracle (x +' d)) as (j & (inside & first) & speaks).
  exists j. split; [exact inside |].
  assert (flips : yhat (x +' d) <> s).
  { intros keeps. apply changed. apply (helped g grad L alpha yhat f) with (radius := p_infty);
      try assumption. exact I. }
  split; [now rewrite speaks | split].
  - intros k member _. pose proof (first k member) as nearer.
    pose proof (difference_of_squares x d (fst k) (fst j)) as squares.
    replace ((fst j -' fst k) • d) with (- ((fst k -' fst j) • d)); [lra |].
    rewrite !dot_add_l, !dot_scale_l. ring.
  - assert (failed : s * g_mu g grad alpha yhat (x +' d) <= 0).
    { apply Rnot_lt_le. intros fine. apply changed, (decided _ _ _ _ f_is fine). }
    destruct (label_cases (yhat (x +' d)) s) as [e | e]; [contradiction |].
    unfold g_mu in failed. rewrite e in failed. pose proof (linear_part d) as linear.
    pose proof (end_slope grad L x d p_infty smooth I) as grown. apply abs_le in grown.
    pose proof (norm_pos E d). unfold c.
    assert (alpha * dual (grad (x +' d)) <= alpha * (G + L * norm d)) by nra.
    destruct s; simpl in *; lra.
Qed.

Lemma c_falls t t' : 0 <= t <= t' -> c t' <= c t.
Proof.
  intros order. unfold c, Rsqr. assert (t * t <= t' * t') by nra.
  assert (L * (t * t) <= L * (t' * t')) by nra. assert (0 <= alpha * L) by nra. nra.
Qed.

(** Theorem J: the decision is constant on the open ball of min{rho_plus, min_j t_j}. *)
Theorem theorem_J (r : R) :
  r <= rho_plus v G L alpha ->
  (forall j, In j references -> snd j <> s -> safe_from j r) ->
  constant_within f x r.
Proof.
  intros along safe d short. change (norm d < r) in short.
  destruct (same (f (x +' d)) s) as [keeps | changed]; [exact keeps | exfalso].
  destruct (change_is_joint d ltac:(lra) changed) as (j & inside & other & overtakes & lost).
  pose proof (norm_pos E d) as long. set (t := (norm d + r) / 2).
  assert (t <= norm d); [| unfold t in *; lra].
  apply (safe j inside other t d); [unfold t; lra |]. split; [exact overtakes |].
  apply Rle_trans with (2 := lost), c_falls. unfold t. lra.
Qed.

(** It is not below Theorem E': every polyhedron is safe from the oracle's radius, *)
Theorem theorem_J_oracle j (r : R) :
  In j references -> snd j <> s ->
  (exists k, In k references /\ snd k = s /\ r <= bisector k j x) -> safe_from j r.
Proof.
  intros inside other (k & member & own & far) t d [t_pos before] [overtakes _].
  specialize (overtakes k member own). pose proof (norm_pos E d) as long.
  apply Rle_trans with r; [lra |]. apply Rle_trans with (1 := far). unfold bisector.
  destruct (Req_EM_T _ 0) as [one | two]; [exact long |].
  pose proof (dot_ge (fst k -' fst j) d) as bound. pose proof (dual_pos (fst k -' fst j)).
  replace ((fst j -' fst k) • d) with (- ((fst k -' fst j) • d)) in overtakes
    by (rewrite !dot_add_l, !dot_scale_l; ring).
  apply Rmult_le_reg_r with (2 * dual (fst k -' fst j)); [lra |].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(** and from rho_minus. *)
Theorem theorem_J_safe j : safe_from j (rho_minus v G L alpha).
Proof.
  intros t d [t_pos before] [_ lost]. apply rho_minus_exact in before;
    [| assumption | apply dual_pos | assumption | assumption].
  pose proof (dot_ge (grad x) d) as bound. pose proof (dot_le (grad x) d) as bound'.
  pose proof (dual_pos (grad x)) as slope. pose proof (norm_pos E d) as long.
  unfold Psi_minus in before. unfold c in lost. apply Rnot_lt_le. intros near.
  assert (- s * (grad x • d) <= G * norm d) by (destruct s; simpl; lra).
  assert (G * norm d <= G * t) by nra. lra.
Qed.

End Joint.
