(** * Theorem E is best possible: ridge functions that attain its bounds *)

From Coq Require Import Reals Lra Psatz.
From Coquelicot Require Import Coquelicot.
From LBRS Require Import Space Roots Smooth.
Open Scope R_scope.

(** ** A slope with one peak, and its integral *)

Definition hinge (u : R) : R := Rmax u 0.
Definition half_square (u : R) : R := (hinge u)² / 2.

(** No integral is needed: the square of a hinge has the hinge for its slope. *)
Lemma half_square_change u h :
  Rabs (half_square (u + h) - half_square u - hinge u * h) <= Rabs h * Rabs h / 2.
Proof.
  rewrite <- Rabs_mult, (Rabs_right (h * h)) by nra. apply abs_le.
  unfold half_square, hinge, Rsqr, Rmax. repeat destruct (Rle_dec _ _); split; nra.
Qed.

Lemma half_square_slope u : is_derive half_square u (hinge u).
Proof.
  apply is_derive_Reals. intros eps eps_pos. exists (mkposreal eps eps_pos). intros h nonzero near.
  simpl in near. pose proof (half_square_change u h) as change.
  pose proof (Rabs_pos_lt h nonzero) as h_pos.
  replace ((half_square (u + h) - half_square u) / h - hinge u)
    with ((half_square (u + h) - half_square u - hinge u * h) / h) by (field; assumption).
  unfold Rdiv. rewrite Rabs_mult, Rabs_inv. apply Rmult_lt_reg_r with (Rabs h); [assumption |].
  rewrite Rmult_assoc, Rinv_l by lra. nra.
Qed.

Section Ridge.
Variables (v G L nu t : R).
Hypotheses (L_pos : 0 < L) (t_pos : 0 < t) (G_pos : 0 <= G) (nu_pos : 0 <= nu).
Hypothesis allowed : Rabs (nu - G) <= L * t.

(** From right to left: the slope is [G] up to 0, rises to a peak at [peak], falls to [nu] at [-t],
and stays. *)
Definition peak : R := (G + L * t - nu) / (2 * L) - t.
Definition profile_slope (u : R) : R :=
  G + L * (hinge (- u) - 2 * hinge (peak - u) + hinge (- t - u)).
Definition profile (u : R) : R :=
  v + G * u + L * (2 * half_square (peak - u) - half_square (- u) - half_square (- t - u)).

Lemma peak_between : - t <= peak <= 0 /\ 2 * L * (peak + t) = G + L * t - nu.
Proof.
  apply abs_le in allowed.
  assert (is : 2 * L * (peak + t) = G + L * t - nu) by (unfold peak; field; lra).
  split; [split; nra | exact is].
Qed.

Lemma profile_derives u : is_derive profile u (profile_slope u).
Proof.
  assert (shifted : forall a, is_derive (fun u => half_square (a - u)) u (- hinge (a - u))).
  { intros a. replace (- hinge (a - u)) with (scal (-1) (hinge (a - u)))
      by (unfold scal; simpl; unfold mult; simpl; ring).
    apply (is_derive_comp half_square (fun u => a - u)); [apply half_square_slope |].
    auto_derive; [easy | ring]. }
  apply is_derive_ext with (fun u => (v + G * u) +
    L * ((2 * half_square (peak - u) - half_square (0 - u)) - half_square (- t - u))).
  { intros s. unfold profile. now rewrite Rminus_0_l. }
  replace (profile_slope u)
    with (G + L * ((2 * (- hinge (peak - u)) - (- hinge (0 - u))) - (- hinge (- t - u))))
    by (unfold profile_slope; rewrite Rminus_0_l; ring).
  apply (is_derive_plus (fun u => v + G * u)); [auto_derive; [easy | ring] |].
  apply is_derive_scal,
    (is_derive_minus (fun u => 2 * half_square (peak - u) - half_square (0 - u)));
    [| apply shifted].
  apply (is_derive_minus (fun u => 2 * half_square (peak - u))); [| apply shifted].
  apply is_derive_scal, shifted.
Qed.

Lemma hinge_off u : u <= 0 -> hinge u = 0.
Proof. apply Rmax_right. Qed.
Lemma hinge_on u : 0 <= u -> hinge u = u.
Proof. apply Rmax_left. Qed.

Lemma profile_at_0 : profile 0 = v /\ profile_slope 0 = G.
Proof.
  destruct peak_between as [between _]. unfold profile, profile_slope, half_square.
  rewrite !Rminus_0_r, !hinge_off by lra. unfold Rsqr. split; lra.
Qed.

Lemma profile_at_end : profile (- t) = E1 v G L nu t /\ profile_slope (- t) = nu.
Proof.
  destruct peak_between as [between is]. unfold profile, profile_slope, half_square, E1.
  rewrite (hinge_on (- - t)), (hinge_on (peak - - t)), (hinge_off (- t - - t)) by lra.
  unfold Rsqr. split; [| nra]. replace (peak - - t) with ((G + L * t - nu) / (2 * L))
    by (unfold peak; field; lra). field. lra.
Qed.

Lemma profile_slope_lipschitz a b : Rabs (profile_slope a - profile_slope b) <= L * Rabs (a - b).
Proof.
  destruct peak_between as [between _]. unfold profile_slope.
  set (k := fun u => hinge (- u) - 2 * hinge (peak - u) + hinge (- t - u)).
  replace (G + L * _ - (G + L * _)) with (L * (k a - k b)) by (unfold k; ring).
  rewrite Rabs_mult, (Rabs_right L) by lra. apply Rmult_le_compat_l; [lra |].
  unfold k, hinge, Rmax. repeat destruct (Rle_dec _ _); split_Rabs; lra.
Qed.

Lemma profile_slope_pos u : 0 <= profile_slope u.
Proof.
  destruct peak_between as [between is]. unfold profile_slope, hinge, Rmax.
  repeat destruct (Rle_dec _ _); nra.
Qed.

(** ** The ridge function *)

Context {E : space} (x w : E).
Hypothesis unit : dual w = 1.
Definition ridge (z : E) : R := profile (w • (z -' x)).
Definition ridge_gradient (z : E) : E := profile_slope (w • (z -' x)) *' w.

Lemma ridge_is_smooth : gradient ridge ridge_gradient.
Proof.
  intros z d. unfold ridge, ridge_gradient. rewrite dot_scale_l.
  apply is_derive_ext with (fun s => profile (w • (z -' x) + s * (w • d))).
  { intros s. f_equal. rewrite !dot_add, !dot_scale. ring. }
  rewrite Rmult_comm.
  apply (is_derive_comp profile (fun s => w • (z -' x) + s * (w • d))).
  - rewrite Rmult_0_l, Rplus_0_r. apply profile_derives.
  - auto_derive; [easy | ring].
Qed.

Lemma ridge_lipschitz : smooth_within ridge_gradient L x p_infty.
Proof.
  intros z z' _ _. unfold ridge_gradient.
  replace (profile_slope (w • (z -' x)) *' w -' profile_slope (w • (z' -' x)) *' w)
    with ((profile_slope (w • (z -' x)) - profile_slope (w • (z' -' x))) *' w)
    by (rewrite scale_scale, <- add_scale; f_equal; ring).
  rewrite dual_scale, unit, Rmult_1_r. apply Rle_trans with (1 := profile_slope_lipschitz _ _).
  apply Rmult_le_compat_l; [lra |].
  replace (w • (z -' x) - w • (z' -' x)) with (w • (z -' z'))
    by (rewrite !dot_add, !dot_scale; ring).
  pose proof (dual_bound E w (z -' z')) as bound. rewrite unit in bound. lra.
Qed.

(** (E1) is attained: for every norm there is a smooth score with the data v, G, L and a step of
length t at whose end the gradient has the size nu and the score is the right side of (E1). *)
Theorem theorem_E_sharp : exists d,
  gradient ridge ridge_gradient /\ smooth_within ridge_gradient L x p_infty /\
  ridge x = v /\ dual (ridge_gradient x) = G /\ norm d = t /\
  dual (ridge_gradient (x +' d)) = nu /\ ridge (x +' d) = E1 v G L nu t.
Proof.
  destruct (dual_attained E w) as (m & short & reaches). rewrite unit in reaches.
  assert (size : norm m = 1)
    by (pose proof (dot_le w m) as le; rewrite unit, reaches in le; lra).
  exists (- t *' m). destruct profile_at_0 as [value slope], profile_at_end as [value' slope'].
  unfold ridge, ridge_gradient. rewrite !add_then_sub, !sub_self, dot_zero_r, dot_scale, reaches.
  rewrite Rmult_1_r, !dual_scale, norm_scale, unit, size, value, value', slope, slope'.
  rewrite Rabs_Ropp, !Rabs_right by lra.
  refine (conj ridge_is_smooth (conj ridge_lipschitz _)). repeat split; ring.
Qed.

End Ridge.

(** So (E2) and (E3) are attained as well, at the largest end slope and at [nu_star]. *)
Theorem theorem_E2_sharp v G L alpha t {E : space} (x w : E) :
  0 < L -> 0 < t -> 0 <= G -> dual w = 1 -> exists g grad d,
  gradient g grad /\ smooth_within grad L x p_infty /\ g x = v /\ dual (grad x) = G /\
  norm d = t /\ g (x +' d) - alpha * dual (grad (x +' d)) = Psi_minus v G L alpha t.
Proof.
  intros L_pos t_pos G_pos unit.
  assert (allowed : Rabs (G + L * t - G) <= L * t) by (rewrite Rabs_right; nra).
  destruct (theorem_E_sharp v G L (G + L * t) t L_pos t_pos G_pos ltac:(nra) allowed x w unit)
    as (d & is & smooth & value & slope & size & slope' & value').
  exists (ridge v G L (G + L * t) t x w), (ridge_gradient G L (G + L * t) t x w), d.
  refine (conj is (conj smooth (conj value (conj slope (conj size _))))).
  rewrite slope', value'. apply E1_minus_attained, L_pos.
Qed.

Theorem theorem_E3_sharp v G L alpha t {E : space} (x w : E) :
  0 < L -> 0 < t -> 0 <= G -> 0 <= alpha -> dual w = 1 -> exists g grad d,
  gradient g grad /\ smooth_within grad L x p_infty /\ g x = v /\ dual (grad x) = G /\
  norm d = t /\ g (x +' d) + alpha * dual (grad (x +' d)) = Psi_plus v G L alpha t.
Proof.
  intros L_pos t_pos G_pos alpha_pos unit. set (nu := nu_star G L alpha t).
  destruct (nu_star_allowed G L alpha L_pos G_pos alpha_pos t (Rlt_le _ _ t_pos))
    as (pos & low & high). fold nu in pos, low, high.
  assert (allowed : Rabs (nu - G) <= L * t) by (apply abs_le; lra).
  destruct (theorem_E_sharp v G L nu t L_pos t_pos G_pos pos allowed x w unit)
    as (d & is & smooth & value & slope & size & slope' & value').
  exists (ridge v G L nu t x w), (ridge_gradient G L nu t x w), d.
  refine (conj is (conj smooth (conj value (conj slope (conj size _))))).
  now rewrite slope', value'.
Qed.
