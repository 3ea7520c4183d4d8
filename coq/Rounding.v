(** * Rounding: the standard model, sums in any order, and binary64

What is assumed of arithmetic: an operation gives the true result times (1 + d) plus e, with
|d| <= u and |e| <= eta, one of them 0; a sum never underflows, so there e = 0. Flocq proves that
binary64 is like this as long as nothing overflows. *)

From Coq Require Import Reals Lra Lia ZArith Psatz.
From Flocq Require Import Core Relative Plus_error.
From LBRS Require Import Space.
Open Scope R_scope.

(** ** The model *)

Definition u : R := / 2 ^ 53.
Definition eps : R := / 2 ^ 52.
Definition eta : R := / 2 ^ 1075.

(** [v] is what an operation may give for [exact]. *)
Definition rounds (exact v : R) : Prop := exists d e,
  Rabs d <= u /\ Rabs e <= eta /\ d * e = 0 /\ v = exact * (1 + d) + e.
Definition rounds_sum (exact v : R) : Prop := exists d, Rabs d <= u /\ v = exact * (1 + d).

(** Binary64, with any rule for ties. *)
Notation binary64 := (FLT_exp (-1074) 53).
Notation rounded choice := (round radix2 binary64 (Znearest choice)).


Lemma bpow_nat k : bpow radix2 (Z.of_nat k) = 2 ^ k.
Proof.
  induction k as [| k all]; [reflexivity |].
  rewrite Nat2Z.inj_succ, <- Z.add_1_l, bpow_plus, all. reflexivity.
Qed.

Theorem binary64_rounds choice x : rounds x (rounded choice x).
Proof.
  destruct (error_N_FLT radix2 (-1074) 53 eq_refl choice x)
    as (d & e & d_small & e_small & one & is).
  exists d, e. split; [| split; [| split; assumption]].
  - replace u with (/ 2 * bpow radix2 (-53 + 1)); [exact d_small |].
    change (-53 + 1)%Z with (- Z.of_nat 52)%Z. rewrite bpow_opp, bpow_nat. unfold u.
    rewrite <- Rinv_mult. f_equal.
  - replace eta with (/ 2 * bpow radix2 (-1074)); [exact e_small |].
    change (-1074)%Z with (- Z.of_nat 1074)%Z. rewrite bpow_opp, bpow_nat. unfold eta.
    rewrite <- Rinv_mult. f_equal.
Qed.

Theorem binary64_rounds_sum choice x y :
  generic_format radix2 binary64 x -> generic_format radix2 binary64 y ->
  rounds_sum (x + y) (rounded choice (x + y)).
Proof.
  intros x_is y_is.
  assert (precision : Prec_gt_0 53) by reflexivity.
  destruct (FLT_plus_error_N_ex radix2 (-1074) 53 choice x y x_is y_is) as (d & small & is).
  exists d. split; [| exact is]. apply Rle_trans with (1 := small).
  assert (unit : u_ro radix2 53 = u).
  { unfold u_ro, u. replace (- (53) + 1)%Z with (- Z.of_nat 52)%Z by reflexivity.
    rewrite bpow_opp, bpow_nat.
    rewrite <- Rinv_mult. f_equal. }
  rewrite unit. assert (0 < u) by (unfold u; apply Rinv_0_lt_compat, pow_lt; lra).
  apply Rmult_le_reg_r with (1 + u); [lra |]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. nra.
Qed.

(** ** Sums of products, in any order

A tree says in which order the terms of a sum are added: a term is a rounded product or a number;
a fused operation adds a product that is not rounded first. *)

Inductive tree :=
  | Product (w z : R)
  | Term (b : R)
  | Sum (left right : tree)
  | Fused (left : tree) (w z : R).

Fixpoint exact (t : tree) : R := match t with
  | Product w z => w * z
  | Term b => b
  | Sum l r => exact l + exact r
  | Fused l w z => exact l + w * z
  end.

(** The sum of the sizes of its terms, and their number. *)
Fixpoint size (t : tree) : R := match t with
  | Product w z => Rabs (w * z)
  | Term b => Rabs b
  | Sum l r => size l + size r
  | Fused l w z => size l + Rabs (w * z)
  end.
Fixpoint terms (t : tree) : nat := match t with
  | Product _ _ | Term _ => 1
  | Sum l r => terms l + terms r
  | Fused l _ _ => terms l + 1
  end.

(** What a tree may evaluate to. *)
Inductive computes : tree -> R -> Prop :=
  | computes_product w z v : rounds (w * z) v -> computes (Product w z) v
  | computes_term b : computes (Term b) b
  | computes_sum l r a b v :
      computes l a -> computes r b -> rounds_sum (a + b) v -> computes (Sum l r) v
  | computes_fused l w z a v :
      computes l a -> rounds (a + w * z) v -> computes (Fused l w z) v.

(** And what it evaluates to in binary64. *)
Fixpoint float (choice : Z -> bool) (t : tree) : R := match t with
  | Product w z => rounded choice (w * z)
  | Term b => b
  | Sum l r => rounded choice (float choice l + float choice r)
  | Fused l w z => rounded choice (float choice l + w * z)
  end.
Fixpoint in_format (t : tree) : Prop := match t with
  | Product _ _ => True
  | Term b => generic_format radix2 binary64 b
  | Sum l r => in_format l /\ in_format r
  | Fused l _ _ => in_format l
  end.

Lemma float_in_format choice t : in_format t -> generic_format radix2 binary64 (float choice t).
Proof.
  assert (precision : Prec_gt_0 53) by reflexivity.
  destruct t; simpl; intros is; [| exact is | |]; apply generic_format_round;
    typeclasses eauto.
Qed.

Theorem binary64_computes choice t : in_format t -> computes t (float choice t).
Proof.
  induction t; simpl; intros is.
  - apply computes_product, binary64_rounds.
  - apply computes_term.
  - destruct is. apply computes_sum with (float choice t1) (float choice t2); auto.
    apply binary64_rounds_sum; now apply float_in_format.
  - apply computes_fused with (float choice t); auto. apply binary64_rounds.
Qed.

Lemma u_pos : 0 < u. Proof. apply Rinv_0_lt_compat, pow_lt; lra. Qed.
Lemma eta_pos : 0 < eta. Proof. apply Rinv_0_lt_compat, pow_lt; lra. Qed.

(** n roundings one after the other, and n underflows. *)
Definition growth (n : nat) : R := (1 + u) ^ n - 1.
Definition underflow (n : nat) : R := INR n * eta * (1 + u) ^ n.

Lemma growth_pos n : 0 <= growth n.
Proof. pose proof u_pos. pose proof (pow_R1_Rle (1 + u) n ltac:(lra)). unfold growth. lra. Qed.

Lemma growth_S n : growth (S n) = (1 + u) * growth n + u.
Proof. unfold growth. simpl. ring. Qed.

Lemma growth_le m n : (m <= n)%nat -> growth m <= growth n.
Proof.
  intros le. pose proof u_pos. pose proof (Rle_pow (1 + u) m n ltac:(lra) le). unfold growth. lra.
Qed.

Lemma terms_pos t : (1 <= terms t)%nat.
Proof. induction t; simpl; lia. Qed.

Lemma size_bounds t : Rabs (exact t) <= size t.
Proof.
  induction t; simpl; try lra; apply Rle_trans with (1 := Rabs_triang _ _); lra.
Qed.

Lemma rounds_error x v : rounds x v -> Rabs (v - x) <= u * Rabs x + eta.
Proof.
  intros (d & e & d_small & e_small & _ & ->).
  replace (x * (1 + d) + e - x) with (x * d + e) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult, (Rmult_comm u).
  apply Rplus_le_compat; [apply Rmult_le_compat_l; [apply Rabs_pos |] |]; assumption.
Qed.

Lemma rounds_sum_error x v : rounds_sum x v -> Rabs (v - x) <= u * Rabs x.
Proof.
  intros (d & d_small & ->). replace (x * (1 + d) - x) with (d * x) by ring.
  rewrite Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos | assumption].
Qed.

(** One rounding more, of a sum of parts with m and n terms. *)
Lemma underflow_sum m n :
  (1 <= m)%nat -> (1 <= n)%nat -> (1 + u) * (underflow m + underflow n) <= underflow (m + n).
Proof.
  intros m_pos n_pos. unfold underflow. rewrite plus_INR, Rmult_plus_distr_l.
  pose proof eta_pos. pose proof u_pos.
  assert (step : forall k l, (1 <= l)%nat -> (1 + u) * (1 + u) ^ k <= (1 + u) ^ (k + l)).
  { intros k l l_pos. change ((1 + u) ^ S k <= (1 + u) ^ (k + l)). apply Rle_pow; [lra | lia]. }
  pose proof (step m n n_pos). pose proof (step n m m_pos) as other.
  rewrite (Nat.add_comm n m) in other. pose proof (pos_INR m). pose proof (pos_INR n).
  assert (0 <= INR m * eta) by nra. assert (0 <= INR n * eta) by nra. nra.
Qed.

(** The lemma of rounding: a sum of n terms is off by at most (1 + u)^n - 1 times the sum of their
sizes, in whichever order it is computed. *)
Theorem sum_error t v :
  computes t v -> Rabs (v - exact t) <= growth (terms t) * size t + underflow (terms t).
Proof.
  pose proof u_pos as u_pos. pose proof eta_pos as eta_pos.
  induction 1 as [w z v is | b | l r a b v left IHl right IHr is | l w z a v left IHl is]; simpl.
  - apply rounds_error in is. unfold growth, underflow. simpl. rewrite Rmult_1_r in *. nra.
  - rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. unfold growth, underflow. simpl.
    pose proof (Rabs_pos b). nra.
  - apply rounds_sum_error in is. pose proof (terms_pos l). pose proof (terms_pos r).
    pose proof (underflow_sum (terms l) (terms r) ltac:(lia) ltac:(lia)).
    pose proof (growth_le (S (terms l)) (terms l + terms r) ltac:(lia)) as gl.
    pose proof (growth_le (S (terms r)) (terms l + terms r) ltac:(lia)) as gr.
    rewrite growth_S in gl, gr. pose proof (size_bounds l) as sl. pose proof (size_bounds r) as sr.
    pose proof (Rabs_pos (exact l)). pose proof (Rabs_pos (exact r)).
    assert (Rabs (v - (exact l + exact r)) <=
      u * Rabs (a + b) + Rabs (a - exact l) + Rabs (b - exact r)) by (split_Rabs; lra).
    assert (Rabs (a + b) <= size l + size r + Rabs (a - exact l) + Rabs (b - exact r))
      by (split_Rabs; lra). nra.
  - apply rounds_error in is. pose proof (terms_pos l).
    pose proof (underflow_sum (terms l) 1 ltac:(lia) ltac:(lia)) as below.
    pose proof (growth_le (S (terms l)) (terms l + 1) ltac:(lia)) as gl.
    pose proof (growth_le 1 (terms l + 1) ltac:(lia)) as gr.
    rewrite growth_S in gl. assert (growth 1 = u) as g1 by (unfold growth; simpl; ring).
    rewrite g1 in gr. assert (eta <= (1 + u) * underflow 1) by (unfold underflow; simpl; nra).
    pose proof (size_bounds l) as sl.
    pose proof (Rabs_pos (exact l)). pose proof (Rabs_pos (w * z)).
    assert (Rabs (v - (exact l + w * z)) <= u * Rabs (a + w * z) + eta + Rabs (a - exact l))
      by (split_Rabs; lra).
    assert (Rabs (a + w * z) <= size l + Rabs (w * z) + Rabs (a - exact l)) by (split_Rabs; lra).
    nra.
Qed.

(** Few enough roundings cost n u, and a little more. *)
Lemma growth_bound n : (1 - INR n * u) * (1 + growth n) <= 1.
Proof.
  unfold growth. replace (1 + ((1 + u) ^ n - 1)) with ((1 + u) ^ n) by ring.
  induction n as [| n all]; [simpl; lra |]. rewrite S_INR. simpl pow.
  pose proof u_pos. pose proof (pos_INR n). pose proof (pow_lt (1 + u) n ltac:(lra)).
  assert (0 <= INR n * u * u) by nra. nra.
Qed.
