(** * The algebra of Theorem E: its bounds, why they decrease, and their closed roots

[v] is the score toward the decision, [G] the size of the gradient there, [L] its Lipschitz
constant, [t] a distance. *)

From Coq Require Import Reals Lra Psatz.
From Coquelicot Require Import Coquelicot.
From LBRS Require Import Space.
Open Scope R_scope.

(** ** Bounds *)

(** The right side of (E1): the lowest value when the slope starts at [G] and ends at [nu]. *)
Definition E1 (v G L nu t : R) : R :=
  v - L * t² / 4 - t / 2 * (G + nu) + (nu - G)² / (4 * L).
Definition Psi_minus (v G L alpha t : R) : R :=
  v - alpha * G - (G + alpha * L) * t - L / 2 * t².
Definition nu_star (G L alpha t : R) : R :=
  Rmax 0 (Rmax (G - L * t) (G + L * t - 2 * alpha * L)).
Definition Psi_plus (v G L alpha t : R) : R :=
  E1 v G L (nu_star G L alpha t) t + alpha * nu_star G L alpha t.

Section Algebra.
Variables (v G L alpha : R).
Hypotheses (L_pos : 0 < L) (G_pos : 0 <= G) (alpha_pos : 0 <= alpha).
Notation nu_star := (nu_star G L alpha).
Notation Psi_minus := (Psi_minus v G L alpha).
Notation Psi_plus := (Psi_plus v G L alpha).

(** (E1) less alpha nu is least at the largest slope, and then it is Psi_minus. *)
Lemma E1_minus nu t :
  0 <= t -> nu <= G + L * t -> Psi_minus t <= E1 v G L nu t - alpha * nu.
Proof.
  intros t_pos above. unfold E1, Psi_minus, Rsqr.
  set (a := G + L * t - nu). replace nu with (G + L * t - a) by (unfold a; ring).
  apply Rminus_le_0. assert (0 <= a) by (unfold a; lra).
  match goal with |- 0 <= ?e => replace e with (alpha * a + a * a / (4 * L)) by (field; lra) end.
  assert (0 <= a * a / (4 * L)) by (apply Rdiv_le_0_compat; nra). nra.
Qed.

Lemma E1_minus_attained t : E1 v G L (G + L * t) t - alpha * (G + L * t) = Psi_minus t.
Proof. unfold E1, Psi_minus, Rsqr. field. lra. Qed.

(** As a parabola in nu, (E1) plus alpha nu has its vertex at G + L t - 2 alpha L. *)
Lemma E1_vertex nu t :
  E1 v G L nu t + alpha * nu =
  (v + alpha * (G + L * t) - G * t - L * t² / 2 - alpha² * L)
  + (nu - (G + L * t - 2 * alpha * L))² / (4 * L).
Proof. unfold E1, Rsqr. field. lra. Qed.

Lemma nu_star_allowed t :
  0 <= t -> 0 <= nu_star t /\ G - L * t <= nu_star t /\ nu_star t <= G + L * t.
Proof.
  intros t_pos. unfold Roots.nu_star. assert (0 <= L * t) by nra. assert (0 <= alpha * L) by nra.
  unfold Rmax. repeat split; repeat destruct (Rle_dec _ _); lra.
Qed.

(** So its least value over the allowed slopes is Psi_plus. *)
Lemma E1_plus nu t :
  0 <= t -> 0 <= nu -> G - L * t <= nu -> Psi_plus t <= E1 v G L nu t + alpha * nu.
Proof.
  intros t_pos nu_pos low. unfold Roots.Psi_plus. rewrite !E1_vertex.
  apply Rplus_le_compat_l, Rmult_le_compat_r; [left; apply Rinv_0_lt_compat; lra |].
  assert (closest : nu_star t = G + L * t - 2 * alpha * L \/
    G + L * t - 2 * alpha * L <= nu_star t <= nu).
  { unfold Roots.nu_star, Rmax. repeat destruct (Rle_dec _ _); lra. }
  apply Rsqr_le_abs_1. split_Rabs; lra.
Qed.

(** Both functions decrease strictly: the minimum for a shorter step is an end slope that is
allowed for a longer one, and at each slope (E1) decreases. *)
Lemma E1_decreases nu t t' :
  0 <= nu -> 0 <= t < t' -> E1 v G L nu t' < E1 v G L nu t.
Proof.
  intros nu_pos [t_pos longer]. unfold E1, Rsqr.
  assert (t * t < t' * t') by nra.
  assert (L * (t * t) < L * (t' * t')) by (apply Rmult_lt_compat_l; assumption). nra.
Qed.

Theorem Psi_plus_decreases t t' : 0 <= t < t' -> Psi_plus t' < Psi_plus t.
Proof.
  intros [t_pos longer]. destruct (nu_star_allowed t t_pos) as (pos & low & high).
  apply Rle_lt_trans with (E1 v G L (nu_star t) t' + alpha * nu_star t).
  - apply E1_plus; try assumption; nra.
  - apply Rplus_lt_compat_r, E1_decreases; [assumption | lra].
Qed.

Theorem Psi_minus_decreases t t' : 0 <= t < t' -> Psi_minus t' < Psi_minus t.
Proof.
  intros [t_pos longer]. unfold Roots.Psi_minus, Rsqr. assert (0 <= alpha * L) by nra.
  assert (t * t < t' * t') by nra.
  assert (L * (t * t) < L * (t' * t')) by (apply Rmult_lt_compat_l; assumption). nra.
Qed.

Lemma Psi_minus_below_plus t : 0 <= t -> Psi_minus t <= Psi_plus t.
Proof.
  intros t_pos. destruct (nu_star_allowed t t_pos) as (pos & low & high).
  unfold Roots.Psi_plus. apply Rle_trans with (1 := E1_minus _ t t_pos high). nra.
Qed.

Lemma Psi_at_0 : Psi_minus 0 = v - alpha * G /\ Psi_plus 0 = v + alpha * G.
Proof.
  unfold Roots.Psi_plus, Roots.Psi_minus.
  replace (nu_star 0) with G; [unfold E1, Rsqr; split; field; lra |].
  unfold Roots.nu_star. rewrite !Rmult_0_r, Rminus_0_r, Rplus_0_r.
  assert (0 <= alpha * L) by nra. rewrite (Rmax_left G), Rmax_right; lra.
Qed.

(** ** The closed roots *)

Definition m_plus := v + alpha * G.
Definition m_minus := v - alpha * G.
Definition B := G + alpha * L.
Definition C := G - alpha * L.
Definition T := Rmin alpha (G / L).

Definition rho_minus : R :=
  if Rlt_dec 0 m_minus then 2 * m_minus / (B + sqrt (B² + 2 * L * m_minus)) else 0.

Definition root_1 := 2 * m_plus / (B + sqrt (B² - 2 * L * m_plus)).
Definition root_2 := (sqrt (2 * G² + 4 * L * v) - G) / L.
Definition root_3 := (sqrt (C² + 2 * L * (m_plus - alpha² * L)) - C) / L.
Definition rho_plus : R :=
  if Rle_dec (Psi_plus T) 0 then root_1
  else if Rlt_dec (G / L) alpha then
    if Rle_dec (Psi_plus (2 * alpha - G / L)) 0 then root_2 else root_3
  else root_3.

(** The three formulas for Psi_plus, each with its square completed. *)
Lemma regime_1 t : 0 <= t <= T -> 2 * L * Psi_plus t = (B - L * t)² - (B² - 2 * L * m_plus).
Proof.
  unfold T. intros [t_pos small].
  pose proof (Rmin_l alpha (G / L)). pose proof (Rmin_r alpha (G / L)).
  assert (L * t <= G) by (replace G with (L * (G / L)) by (field; lra); nra).
  unfold Roots.Psi_plus. replace (nu_star t) with (G - L * t).
  - unfold E1, B, m_plus, Rsqr. field. lra.
  - unfold Roots.nu_star. rewrite (Rmax_left (G - L * t)) by nra. rewrite Rmax_right; lra.
Qed.

Lemma regime_2 t :
  G / L <= t <= 2 * alpha - G / L -> 4 * L * Psi_plus t = 2 * G² + 4 * L * v - (G + L * t)².
Proof.
  intros [after before]. assert (G <= L * t /\ G + L * t <= 2 * alpha * L) as [above under].
  { assert (quotient : L * (G / L) = G) by (field; lra). split; nra. }
  unfold Roots.Psi_plus. replace (nu_star t) with 0.
  - unfold E1, Rsqr. field. lra.
  - unfold Roots.nu_star. rewrite Rmax_left; [lra | apply Rmax_lub; lra].
Qed.

Lemma regime_3 t :
  alpha <= t -> 2 * alpha - G / L <= t ->
  2 * L * Psi_plus t = C² + 2 * L * (m_plus - alpha² * L) - (C + L * t)².
Proof.
  intros late after. assert (2 * alpha * L <= G + L * t) as above.
  { assert (quotient : L * (G / L) = G) by (field; lra). nra. }
  unfold Roots.Psi_plus. replace (nu_star t) with (G + L * t - 2 * alpha * L).
  - unfold E1, C, m_plus, Rsqr. field. lra.
  - unfold Roots.nu_star. rewrite (Rmax_right (G - L * t)) by nra. rewrite Rmax_right; lra.
Qed.

Lemma sqrt_above a s : a² <= s -> a <= sqrt s.
Proof.
  intros low. destruct (Rle_dec 0 a) as [pos | neg]; [| pose proof (sqrt_pos s); lra].
  rewrite <- (sqrt_Rsqr a) by assumption. apply sqrt_le_1_alt, low.
Qed.

Lemma sqrt_under b s : 0 <= b -> s <= b² -> sqrt s <= b.
Proof. intros pos high. rewrite <- (sqrt_Rsqr b) by assumption. apply sqrt_le_1_alt, high. Qed.

Lemma root_1_is : 0 < m_plus -> Psi_plus T <= 0 -> 0 <= root_1 /\ Psi_plus root_1 = 0.
Proof.
  intros positive fallen. assert (T_pos : 0 <= T).
  { unfold T. apply Rmin_glb; [assumption | apply Rdiv_le_0_compat; lra]. }
  pose proof (regime_1 T (conj T_pos (Rle_refl T))) as at_T.
  assert (B_pos : 0 <= B) by (unfold B; nra).
  set (D := B² - 2 * L * m_plus) in *. assert (large : (B - L * T)² <= D) by nra.
  assert (D_pos : 0 <= D) by (pose proof (Rle_0_sqr (B - L * T)); lra).
  pose proof (sqrt_sqrt D D_pos) as square. pose proof (sqrt_pos D) as S_pos.
  assert (B_more : 0 < B) by (assert (0 < B²) by (unfold D in D_pos; nra); unfold Rsqr in *; nra).
  assert (linear : L * root_1 = B - sqrt D).
  { apply Rmult_eq_reg_r with (B + sqrt D); [| lra]. unfold root_1. fold D.
    replace ((B - sqrt D) * (B + sqrt D)) with (B² - sqrt D * sqrt D) by (unfold Rsqr; ring).
    rewrite square. unfold D. field. fold D. lra. }
  assert (root_1 <= T).
  { assert (B - L * T <= sqrt D) by (apply sqrt_above, large). nra. }
  assert (0 <= root_1).
  { assert (sqrt D <= B) by (apply sqrt_under; unfold D; nra). nra. }
  split; [assumption |]. apply Rmult_eq_reg_l with (2 * L); [| lra].
  rewrite regime_1 by lra. fold D. rewrite linear, Rmult_0_r.
  replace (B - (B - sqrt D)) with (sqrt D) by ring. unfold Rsqr. lra.
Qed.

Lemma root_2_is :
  0 < Psi_plus (G / L) -> Psi_plus (2 * alpha - G / L) <= 0 -> G / L < alpha ->
  0 <= root_2 /\ Psi_plus root_2 = 0.
Proof.
  intros before after range. assert (quotient : L * (G / L) = G) by (field; lra).
  assert (start : 0 <= G / L) by (apply Rdiv_le_0_compat; lra).
  pose proof (regime_2 (G / L)) as one. pose proof (regime_2 (2 * alpha - G / L)) as two.
  specialize (one ltac:(lra)). specialize (two ltac:(lra)). rewrite quotient in one.
  replace (G + L * (2 * alpha - G / L)) with (2 * alpha * L) in two by lra.
  set (D := 2 * G² + 4 * L * v) in *.
  assert (2 * G <= sqrt D <= 2 * alpha * L).
  { split; [apply sqrt_above; replace (2 * G) with (G + G) by ring; nra |].
    apply sqrt_under; nra. }
  assert (D_pos : 0 <= D) by (pose proof (Rle_0_sqr (G + G)); nra).
  assert (linear : L * root_2 = sqrt D - G) by (unfold root_2; fold D; field; lra).
  assert (G / L <= root_2 <= 2 * alpha - G / L) by (split; nra).
  split; [lra |]. apply Rmult_eq_reg_l with (4 * L); [| lra].
  rewrite regime_2 by lra. fold D. rewrite linear.
  replace (G + (sqrt D - G)) with (sqrt D) by ring. rewrite Rsqr_sqrt by assumption. ring.
Qed.

Lemma root_3_is t :
  0 <= t -> alpha <= t -> 2 * alpha - G / L <= t -> 0 < Psi_plus t -> 0 <= C + L * t ->
  0 <= root_3 /\ Psi_plus root_3 = 0.
Proof.
  intros t_pos late after before C_pos. pose proof (regime_3 t late after) as at_t.
  set (D := C² + 2 * L * (m_plus - alpha² * L)) in *.
  assert (D_pos : 0 <= D) by (pose proof (Rle_0_sqr (C + L * t)); nra).
  assert (C + L * t <= sqrt D) by (apply sqrt_above; nra).
  assert (linear : L * root_3 = sqrt D - C) by (unfold root_3; fold D; field; lra).
  assert (t <= root_3) by nra. split; [lra |]. apply Rmult_eq_reg_l with (2 * L); [| lra].
  rewrite regime_3 by lra. fold D. rewrite linear.
  replace (C + (sqrt D - C)) with (sqrt D) by ring. rewrite Rsqr_sqrt by assumption. ring.
Qed.

(** rho_plus is a root of Psi_plus, whichever of the three formulas applies. *)
Lemma rho_plus_is : 0 < m_plus -> 0 <= rho_plus /\ Psi_plus rho_plus = 0.
Proof.
  intros positive. unfold rho_plus. assert (quotient : L * (G / L) = G) by (field; lra).
  assert (start : 0 <= G / L) by (apply Rdiv_le_0_compat; lra).
  destruct (Rle_dec (Psi_plus T) 0) as [first | later]; [now apply root_1_is |].
  apply Rnot_le_lt in later. destruct (Rlt_dec (G / L) alpha) as [range | none].
  - replace T with (G / L) in later by (unfold T; rewrite Rmin_right; lra).
    destruct (Rle_dec (Psi_plus (2 * alpha - G / L)) 0) as [second | third].
    + now apply root_2_is.
    + apply (root_3_is (2 * alpha - G / L)); unfold C; nra.
  - replace T with alpha in later by (unfold T; rewrite Rmin_left; lra).
    apply (root_3_is alpha); unfold C; nra.
Qed.

(** The corollary: Psi_plus is positive exactly before rho_plus, *)
Theorem rho_plus_exact t : 0 < m_plus -> 0 <= t -> (0 < Psi_plus t <-> t < rho_plus).
Proof.
  intros positive t_pos. destruct (rho_plus_is positive) as [root_pos root]. split; intros H.
  - apply Rnot_le_lt. intros [less | equal]; [| rewrite <- equal in H; lra].
    pose proof (Psi_plus_decreases _ _ (conj root_pos less)). lra.
  - pose proof (Psi_plus_decreases t rho_plus (conj t_pos H)). lra.
Qed.

Lemma rho_minus_is : 0 < m_minus -> 0 <= rho_minus /\ Psi_minus rho_minus = 0.
Proof.
  intros positive. unfold rho_minus. destruct (Rlt_dec 0 m_minus); [| contradiction].
  assert (B_pos : 0 <= B) by (unfold B; nra). set (D := B² + 2 * L * m_minus).
  assert (B² < D) by (unfold D; nra). pose proof (Rle_0_sqr B).
  assert (S_pos : 0 < sqrt D) by (apply sqrt_lt_R0; lra).
  assert (square : sqrt D * sqrt D = D) by (apply sqrt_sqrt; lra).
  set (rho := 2 * m_minus / (B + sqrt D)).
  assert (pos : 0 <= rho) by (apply Rdiv_le_0_compat; lra). split; [exact pos |].
  assert (linear : L * rho = sqrt D - B).
  { apply Rmult_eq_reg_r with (B + sqrt D); [| lra]. unfold rho.
    replace ((sqrt D - B) * (B + sqrt D)) with (sqrt D * sqrt D - B²) by (unfold Rsqr; ring).
    rewrite square. unfold D. field. fold D. lra. }
  apply Rmult_eq_reg_l with (2 * L); [| lra].
  replace (2 * L * Psi_minus rho) with (D - (B + L * rho)²)
    by (unfold Roots.Psi_minus, D, B, m_minus, Rsqr; field).
  rewrite linear. unfold Rsqr. nra.
Qed.

(** and Psi_minus exactly before rho_minus. *)
Theorem rho_minus_exact t : 0 <= t -> (0 < Psi_minus t <-> t < rho_minus).
Proof.
  intros t_pos. destruct (Rlt_dec 0 m_minus) as [positive | none].
  - destruct (rho_minus_is positive) as [root_pos root]. split; intros H.
    + apply Rnot_le_lt. intros [less | equal]; [| rewrite <- equal in H; lra].
      pose proof (Psi_minus_decreases _ _ (conj root_pos less)). lra.
    + pose proof (Psi_minus_decreases t rho_minus (conj t_pos H)). lra.
  - unfold rho_minus. destruct (Rlt_dec 0 m_minus); [contradiction |]. split; [| lra].
    intros H. destruct Psi_at_0 as [start _]. unfold m_minus in none. destruct t_pos as [more | is].
    + pose proof (Psi_minus_decreases 0 t (conj (Rle_refl 0) more)). lra.
    + rewrite <- is in H. lra.
Qed.

(** In disagreement it is between the root of Theorem 8 and sqrt 2 times that root. *)
Theorem rho_minus_ratio r :
  0 < r -> B * r + L * r² = m_minus -> r < rho_minus <= sqrt 2 * r.
Proof.
  intros r_pos root. assert (B_pos : 0 <= B) by (unfold B; nra).
  assert (is : forall t, Psi_minus t = m_minus - B * t - L / 2 * t²)
    by (intros; unfold Roots.Psi_minus, m_minus, B; ring).
  pose proof (sqrt_sqrt 2 ltac:(lra)) as two. pose proof (sqrt_pos 2) as pos.
  set (k := sqrt 2) in *. assert (k_large : 1 < k) by nra. split.
  - apply rho_minus_exact; [lra |]. rewrite is. unfold Rsqr in *.
    assert (0 < L * (r * r)) by (apply Rmult_lt_0_compat; nra). lra.
  - apply Rnot_lt_le. intros less. apply rho_minus_exact in less; [| nra].
    rewrite is in less. unfold Rsqr in *.
    replace (k * r * (k * r)) with (2 * (r * r)) in less by (rewrite <- two; ring).
    assert (B * r <= B * (k * r)) by (apply Rmult_le_compat_l; nra). lra.
Qed.

End Algebra.

(** ** The limit of small [L]: Theorem B *)

Section Limit.
Variables (v G alpha : R).
Hypotheses (G_pos : 0 < G) (alpha_pos : 0 <= alpha).

(** A number that depends on [L] tends to [r] as [L] falls to 0. *)
Definition tends (rho : R -> R) (r : R) : Prop :=
  forall e, 0 < e -> exists L0, 0 < L0 /\ forall L, 0 < L < L0 -> Rabs (rho L - r) < e.

(** What is near [m - G t], and positive exactly before [rho], has its root near [m / G]. *)
Lemma roots_tend (Psi : R -> R -> R) rho m : 0 < m ->
  (forall L t, 0 < L -> 0 <= t -> Rabs (Psi L t - (m - G * t)) <= L * ((t + alpha) * t)) ->
  (forall L t, 0 < L -> 0 <= t -> (0 < Psi L t <-> t < rho L)) ->
  tends rho (m / G).
Proof.
  intros m_pos near exact e e_pos. set (r := m / G).
  assert (r_pos : 0 < r) by (apply Rdiv_lt_0_compat; lra).
  assert (is_r : G * r = m) by (unfold r; field; lra).
  set (h := Rmin e r / 2). assert (h_pos : 0 < h <= e / 2 /\ h <= r / 2)
    by (unfold h, Rmin; destruct (Rle_dec e r); lra).
  set (K := (r + h + alpha) * (r + h) + 1). assert (K_pos : 0 < K) by (unfold K; nra).
  exists (G * h / K). split; [apply Rdiv_lt_0_compat; nra |]. intros L [L_pos small].
  apply Rmult_lt_compat_r with (1 := K_pos) in small.
  replace (G * h / K * K) with (G * h) in small by (field; lra).
  assert (bound : forall t, 0 <= t <= r + h -> L * ((t + alpha) * t) < G * h).
  { intros t t_in. apply Rle_lt_trans with (L * K); [| exact small].
    apply Rmult_le_compat_l; [lra |]. unfold K. nra. }
  pose proof (near L (r - h) L_pos ltac:(lra)) as before.
  pose proof (near L (r + h) L_pos ltac:(lra)) as after.
  pose proof (bound (r - h) ltac:(lra)). pose proof (bound (r + h) ltac:(lra)).
  apply abs_le in before. apply abs_le in after.
  assert (r - h < rho L) by (apply exact; lra || nra).
  assert (rho L <= r + h).
  { apply Rnot_lt_le. intros less. apply exact in less; [nra | lra | lra]. }
  apply Rabs_def1; lra.
Qed.

(** As [L] falls to 0, both roots tend to those of Theorem B, R + alpha and R - alpha. *)
Theorem theorem_E_prime_limit :
  (0 < m_plus v G alpha -> tends (fun L => rho_plus v G L alpha) (v / G + alpha)) /\
  (0 < m_minus v G alpha -> tends (fun L => rho_minus v G L alpha) (v / G - alpha)).
Proof.
  split; intros positive.
  - replace (v / G + alpha) with (m_plus v G alpha / G) by (unfold m_plus; field; lra).
    apply (roots_tend (fun L => Psi_plus v G L alpha)); [exact positive | |].
    + intros L t L_pos t_pos.
      destruct (nu_star_allowed G L alpha L_pos ltac:(lra) alpha_pos t t_pos) as (_ & low & high).
      unfold Psi_plus, m_plus, E1, Rsqr. set (s := (nu_star G L alpha t - G) / L).
      replace (nu_star G L alpha t) with (G + L * s) in * by (unfold s; field; lra).
      replace (_ - _) with (L * (alpha * s - t * t / 4 - t * s / 2 + s * s / 4)) by (field; lra).
      assert (- t <= s <= t) by (split; apply Rmult_le_reg_l with L; nra).
      rewrite Rabs_mult, (Rabs_right L) by lra. apply Rmult_le_compat_l; [lra |].
      apply abs_le. split; nra.
    + intros L t L_pos t_pos. apply rho_plus_exact; assumption || lra.
  - replace (v / G - alpha) with (m_minus v G alpha / G) by (unfold m_minus; field; lra).
    apply (roots_tend (fun L => Psi_minus v G L alpha)); [exact positive | |].
    + intros L t L_pos t_pos. unfold Psi_minus, m_minus, Rsqr. apply abs_le.
      assert (0 <= L * t) by nra. split; nra.
    + intros L t L_pos t_pos. apply rho_minus_exact; assumption || lra.
Qed.

End Limit.
