(** * The shares of sums in lbrs/rounding.py: distances and combinations *)

From Coq Require Import Reals Lra Lia Psatz.
From LBRS Require Import Rounding.
Open Scope R_scope.

(** Each the formula of the function with the same name. *)
Definition of_sum (d : R) : R := 2 * eps * (8 + d).
Definition of_combination (m : R) : R := (m + 4) * eps.

Lemma few_roundings n : INR n <= 2 ^ 26 ->
  INR n * u <= / 2 ^ 27 /\ INR n * (INR n * u) <= 1 / 2 /\
  growth n * (1 - INR n * u) <= INR n * u.
Proof.
  intros few. pose proof (growth_bound n) as grown. pose proof (pos_INR n) as pos.
  assert (u_is : u * (2 ^ 26 * 2 ^ 27) = 1)
    by (rewrite <- pow_add; unfold u; apply Rinv_l, pow_nonzero; lra).
  pose proof (pow_lt 2 26 ltac:(lra)) as p. pose proof u_pos.
  assert (half : 2 ^ 27 = 2 * 2 ^ 26) by (simpl; ring).
  assert (inverse : / 2 ^ 27 = u * 2 ^ 26).
  { apply Rmult_eq_reg_r with (2 ^ 27); [| lra]. rewrite Rinv_l by lra. lra. }
  rewrite inverse. rewrite half in u_is. set (a := 2 ^ 26) in *. set (N := INR n) in *.
  assert (N * u <= u * a) by nra.
  assert (N * (N * u) <= a * (u * a)) by (apply Rmult_le_compat; nra).
  repeat split; nra.
Qed.

Lemma growth_sum m n : (1 + growth m) * (1 + growth n) = 1 + growth (m + n).
Proof. unfold growth. rewrite pow_add. ring. Qed.

(** A squared distance [S], summed in any order from d squares of rounded differences, is off by a
quarter of [of_sum] at most. *)
Theorem of_sum_enough t v S :
  (1 <= terms t)%nat -> INR (terms t + 2) <= 2 ^ 26 -> 0 <= S ->
  size t = exact t -> Rabs (exact t - S) <= growth 2 * S -> computes t v ->
  4 * (Rabs (v - S) - underflow (terms t)) <= of_sum (INR (terms t)) * S.
Proof.
  intros some few S_pos same near is. pose proof (sum_error t v is) as error. rewrite same in error.
  destruct (few_roundings _ few) as (small & square & grown).
  pose proof (growth_sum (terms t) 2) as together. pose proof (growth_pos (terms t)) as y_pos.
  pose proof (growth_pos 2) as z_pos. pose proof u_pos. rewrite plus_INR in *. simpl INR in *.
  set (y := growth (terms t)) in *. set (z := growth 2) in *. set (Y := growth (terms t + 2)) in *.
  set (d := INR (terms t)) in *. assert (/ 2 ^ 27 <= 1 / 4).
  { apply Rmult_le_reg_r with (2 ^ 27); [simpl; lra |]. rewrite Rinv_l; simpl; lra. }
  assert (d_pos : 0 <= d) by apply pos_INR.
  assert (upper : exact t <= (1 + z) * S) by (split_Rabs; lra).
  assert (y * exact t <= y * ((1 + z) * S)) by (apply Rmult_le_compat_l; lra).
  assert (Rabs (v - S) <= Y * S + underflow (terms t)).
  { replace (Y * S) with (y * ((1 + z) * S) + z * S)
      by (replace Y with ((1 + y) * (1 + z) - 1) by lra; ring). split_Rabs; lra. }
  replace (1 + 1) with 2 in * by ring. set (q := (d + 2) * u) in *.
  assert (q_pos : 0 <= q) by (unfold q; nra).
  assert (Y <= q * (1 + 2 * q)).
  { apply Rmult_le_reg_r with (1 - q); [lra |]. apply Rle_trans with (1 := grown).
    assert (0 <= q * q * (1 - 2 * q)) by (repeat apply Rmult_le_pos; lra). nra. }
  assert (q * (1 + 2 * q) <= u * (d + 8)) by (unfold q in *; nra).
  unfold of_sum. replace eps with (2 * u) by (unfold eps, u; simpl; field). nra.
Qed.

(** A combination of m terms is off by [of_combination] of the computed sum of their sizes. *)
Theorem of_combination_enough t ts v sizes :
  terms ts = terms t -> exact ts = size t -> size ts = size t ->
  INR (terms t) <= 2 ^ 26 -> computes t v -> computes ts sizes ->
  Rabs (v - exact t) <= of_combination (INR (terms t)) * sizes + 2 * underflow (terms t).
Proof.
  intros many is_size size_is few is sum_is. pose proof (sum_error t v is) as error.
  pose proof (sum_error ts sizes sum_is) as known. rewrite many, is_size, size_is in known.
  destruct (few_roundings _ few) as (small & _ & grown). pose proof u_pos.
  pose proof (growth_pos (terms t)) as y_pos.
  assert (S_pos : 0 <= size t).
  { pose proof (size_bounds t). pose proof (Rabs_pos (exact t)). lra. }
  assert (/ 2 ^ 27 <= 1 / 100).
  { apply Rmult_le_reg_r with (2 ^ 27); [simpl; lra |]. rewrite Rinv_l; simpl; lra. }
  assert (o_pos : 0 <= underflow (terms t)).
  { unfold underflow. pose proof (pow_lt (1 + u) (terms t) ltac:(lra)). pose proof eta_pos.
    pose proof (pos_INR (terms t)). repeat apply Rmult_le_pos; lra. }
  set (y := growth (terms t)) in *. set (S := size t) in *. set (o := underflow (terms t)) in *.
  set (Q := INR (terms t) * u) in *. pose proof (pos_INR (terms t)) as m_pos.
  assert (Q_pos : 0 <= Q) by (unfold Q; nra).
  assert (low : (1 - y) * S <= sizes + o) by (split_Rabs; lra).
  assert (y_small : y <= 2 * Q) by nra.
  assert (lost : y * S <= 2 * Q * (sizes + o)).
  { assert (y <= 2 * Q * (1 - y)) by nra.
    apply Rle_trans with (2 * Q * ((1 - y) * S)); [nra |]. apply Rmult_le_compat_l; lra. }
  assert (sizes_pos : - o <= sizes) by nra.
  unfold of_combination. replace eps with (2 * u) by (unfold eps, u; simpl; field).
  replace ((INR (terms t) + 4) * (2 * u) * sizes) with (2 * Q * sizes + 8 * u * sizes)
    by (unfold Q; ring).
  assert (u <= 1 / 100) by (unfold u; apply Rmult_le_reg_r with (2 ^ 53); [simpl; lra |];
    rewrite Rinv_l; simpl; lra).
  nra.
Qed.
