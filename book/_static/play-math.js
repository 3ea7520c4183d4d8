/* The mathematics of the playground: a linear score in the plane, a nearest-neighbour oracle, and the
   radii of the book. A state is {w, b, x, points, alpha, norm}: the score w.z + b, the test point x,
   reference points [z1, z2, label], and norm one of "l1", "l2", "linf". */
const lbrsMath = (() => {
  const NORMS = {
    l1: v => Math.abs(v[0]) + Math.abs(v[1]),
    l2: v => Math.hypot(v[0], v[1]),
    linf: v => Math.max(Math.abs(v[0]), Math.abs(v[1])),
  };
  const DUAL = {l1: "linf", l2: "l2", linf: "l1"};
  const dual = norm => NORMS[DUAL[norm]];
  const dot = (u, v) => u[0] * v[0] + u[1] * v[1];
  const minus = (u, v) => [u[0] - v[0], u[1] - v[1]];
  const square = (u, v) => (u[0] - v[0]) ** 2 + (u[1] - v[1]) ** 2;
  const sign = value => (value >= 0 ? 1 : -1);

  /* The maximiser m of w.m over the unit ball. */
  function maximizer(w, norm) {
    if (norm === "linf") return w.map(Math.sign);
    if (norm === "l2") return w.map(part => part / (Math.hypot(w[0], w[1]) || 1));
    const first = Math.abs(w[0]) >= Math.abs(w[1]);
    return first ? [Math.sign(w[0]), 0] : [0, Math.sign(w[1])];
  }

  function nearest(points, z) {
    let best = 0;
    for (let i = 1; i < points.length; i++)
      if (square(z, points[i]) < square(z, points[best])) best = i;
    return best;
  }

  /* b_kj: the distance from x to the points that are as near to j as to k. */
  function bisector(x, k, j, norm) {
    const gap = dual(norm)(minus(k, j));
    return gap ? (square(x, j) - square(x, k)) / (2 * gap) : 0;
  }

  /* The neighbour term of Theorem 6, and R_nb of Theorem A. */
  function oracleRadii(state, i) {
    const {x, points, norm} = state, label = points[i][2];
    const own = points.filter(point => point[2] === label);
    let paper = Infinity, all = Infinity;
    for (const j of points) {
      if (j[2] === label) continue;
      paper = Math.min(paper, bisector(x, points[i], j, norm));
      all = Math.min(all, Math.max(...own.map(k => bisector(x, k, j, norm))));
    }
    return {paper, all};
  }

  /* The nearest point to x of one half-plane row {z : h.z <= c}: how far, and where. */
  function step(x, [h, c], norm) {
    const miss = dot(h, x) - c;
    if (miss <= 0) return {far: 0, z: x};
    const far = miss / dual(norm)(h), m = maximizer(h, norm);
    return {far, z: [x[0] - far * m[0], x[1] - far * m[1]]};
  }

  const inside = (rows, z, skip) => rows.every(([h, c], i) => skip.includes(i)
    || dot(h, z) - c <= 1e-11 * (1 + Math.abs(c) + Math.hypot(h[0], h[1])));

  /* The distance from x to the polygon of the rows, where it is below `best`: the nearest point is x,
     or lies on one side, or is a corner. */
  function distance(x, rows, norm, best) {
    const steps = rows.map(row => step(x, row, norm));
    const least = Math.max(...steps.map(one => one.far));
    if (least >= best || inside(rows, x, [])) return Math.min(best, least);
    steps.forEach(({far, z}, i) => {
      if (far === least && inside(rows, z, [i])) best = far;
    });
    for (let i = 0; i < rows.length; i++)
      for (let k = 0; k < i; k++) {
        const [[h, c], [m, e]] = [rows[i], rows[k]], det = h[0] * m[1] - h[1] * m[0];
        if (Math.abs(det) < 1e-14 * Math.hypot(...h) * Math.hypot(...m)) continue;
        const z = [(c * m[1] - h[1] * e) / det, (h[0] * e - c * m[0]) / det];
        const far = NORMS[norm](minus(z, x));
        if (far < best && far >= least && inside(rows, z, [i, k])) best = far;
      }
    return best;
  }

  /* Theorem C: the distance to the nearest polyhedron on which the decision is another one. */
  function exactRadius(state, s) {
    const {x, w, b, points, alpha, norm} = state, G = dual(norm)(w);
    const cells = [];
    for (const y of [1, -1])
      for (const j of points.filter(point => point[2] === y)) {
        const rows = points.filter(k => k[2] === -y).map(k => [
          [k[0] - j[0], k[1] - j[1]], (dot(k, k) - dot(j, j)) / 2]);
        rows.push([[s * w[0], s * w[1]], -s * (b + alpha * y * G)]);
        cells.push({rows, least: Math.max(...rows.map(row => step(x, row, norm).far))});
      }
    cells.sort((one, other) => one.least - other.least);
    return cells.reduce((best, {rows}) => distance(x, rows, norm, best), Infinity);
  }

  /* All numbers at the test point. */
  function at(state) {
    const {x, w, b, points, alpha, norm} = state, G = dual(norm)(w);
    const i = nearest(points, x), label = points[i][2], g = dot(w, x) + b;
    const smoothed = g + alpha * label * G, prediction = sign(smoothed);
    const {paper, all} = oracleRadii(state, i), agrees = prediction === label;
    const boundary = Math.abs(smoothed) / G, R = prediction * g / G;
    const theoremB = agrees ? Math.min(R + alpha, Math.max(all, R - alpha)) : R - alpha;
    const bias = maximizer(w, norm).map(part => alpha * label * part);
    return {
      g, label, smoothed, prediction, base: sign(g), bias, nearest: i, boundary,
      neighbor: paper, oracle: all, theorem6: Math.min(boundary, paper),
      theoremB: Math.max(theoremB, 0), exact: exactRadius(state, prediction),
    };
  }

  /* f^mu on a grid of n x n places of the square of half-width `side`, from the top left: 1 for +1. */
  function regions(state, side, n, out) {
    const {w, b, points, alpha, norm} = state, bias = alpha * dual(norm)(w), count = points.length;
    const px = points.map(p => p[0]), py = points.map(p => p[1]), unit = 2 * side / n;
    for (let row = 0, place = 0; row < n; row++) {
      const y = side - (row + 0.5) * unit;
      for (let column = 0; column < n; column++, place++) {
        const x = (column + 0.5) * unit - side, g = w[0] * x + w[1] * y + b;
        if (g > bias || g < -bias) { out[place] = g > 0 ? 1 : 0; continue; }
        let best = Infinity, found = 0;
        for (let i = 0; i < count; i++) {
          const far = (x - px[i]) ** 2 + (y - py[i]) ** 2;
          if (far < best) { best = far; found = i; }
        }
        out[place] = g + bias * points[found][2] >= 0 ? 1 : 0;
      }
    }
    return out;
  }

  return {NORMS, at, regions, nearest, maximizer};
})();
