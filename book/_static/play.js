/* The playground: draws what play-math.js computes, and takes the mouse, the finger and the keys. */
(() => {
  const SIDE = 3, CELLS = 140, HANDLE = 2.3, KEYS = "w,b,x,points,alpha,norm".split(",");
  const NAMES = {l1: "ℓ₁", l2: "ℓ₂", linf: "ℓ∞"};
  const LIGHT = {plus: "#fff4e8", minus: "#cfdcec", ink: "#14181f", up: "#a84300", down: "#0b4f9c",
    ball: "#0b5d3b", exact: "#7a1f8a", ground: "#fff"};
  const DARK = {plus: "#4a3420", minus: "#1d3350", ink: "#f2f4f7", up: "#ffb066", down: "#8cc4ff",
    ball: "#7fe0b0", exact: "#e5a6f2", ground: "#14181f"};
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const copy = state => JSON.parse(JSON.stringify(state));
  const round = (value, digits = 3) => +value.toFixed(digits);
  const told = value => (isFinite(value) ? value.toFixed(2) : "∞");

  /* The state in the address, and back. */
  function packed(state) {
    const flat = [state.norm, state.alpha, ...state.w, state.b, ...state.x, ...state.points.flat()];
    return "#play=" + flat.map(part => (typeof part === "number" ? round(part) : part)).join("_");
  }
  function unpacked(hash) {
    if (!hash.startsWith("#play=")) return null;
    const [norm, ...rest] = hash.slice(6).split("_"), n = rest.map(Number);
    if (!(norm in NAMES) || n.length < 9 || n.length > 186 || n.length % 3 || n.some(isNaN)
      || n[0] < 0 || !(n[1] || n[2])) return null;
    const points = [];
    for (let i = 6; i < n.length; i += 3) points.push([n[i], n[i + 1], n[i + 2] > 0 ? 1 : -1]);
    return {norm, alpha: n[0], w: [n[1], n[2]], b: n[3], x: [n[4], n[5]], points};
  }

  const make = (tag, given = {}, ...inner) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(given)) node.setAttribute(key, value);
    node.append(...inner);
    return node;
  };

  function play(figure, number) {
    const presets = JSON.parse(figure.querySelector("script").textContent);
    const name = figure.id, still = figure.querySelector("img");
    const canvas = make("canvas", {tabindex: 0, role: "application", "aria-describedby": `${name}-how`,
      "aria-label": "Playground: decision regions, test point and reference points"});
    const pen = canvas.getContext("2d");
    const small = make("canvas", {width: CELLS, height: CELLS}), ink = small.getContext("2d");
    const image = ink.createImageData(CELLS, CELLS), bits = new Uint8Array(CELLS * CELLS);
    let state = copy(presets[0]), chosen = -1, held = null, found, due = 0, later = 0;

    const field = (label, input) => {
      input.id = `${name}-${label.split(" ")[0].toLowerCase()}`;
      return make("p", {}, make("label", {for: input.id}, label), input);
    };
    const range = (min, max, step) => make("input", {type: "range", min, max, step, autocomplete: "off"});
    const alpha = range(0, 3, 0.01), turn = range(-180, 180, 1), shift = range(-3, 3, 0.01);
    const choose = (options) => make("select", {autocomplete: "off"},
      ...options.map(([value, text]) => make("option", {value}, text)));
    const preset = choose([["", "your own"], ...presets.map((one, i) => [i, one.name])]);
    const norm = choose(Object.entries(NAMES));
    const flip = make("button", {type: "button"}, "Flip the label");
    const numbers = make("table"), live = make("p", {"aria-live": "polite", class: "lbrs-told"});
    const how = make("p", {id: `${name}-how`, class: "lbrs-how"},
      "Drag the star, the points, or the square that turns the line. By keys: arrows move what is "
      + "chosen, N and P choose the next and the last one, F flips its label.");
    figure.querySelector(".lbrs-stage").append(canvas, make("div", {class: "lbrs-panel"},
      field("Start from", preset), field("Norm", norm), field("Bias α", alpha),
      field("Turn the line", turn), field("Shift the line", shift), flip, numbers), live, how);
    still.hidden = true;

    const G = () => Math.hypot(...state.w);
    const foot = () => state.w.map(part => -state.b * part / G() ** 2);
    const handle = () => {
      const [a, c] = foot(), [u, v] = state.w;
      return [a - HANDLE * v / G(), c + HANDLE * u / G()];
    };
    const clamp = place => place.map(part => Math.max(-SIDE, Math.min(SIDE, part)));
    const place = item => (item === "line" ? handle() : item < 0 ? state.x : state.points[item]);

    function turned(degrees) {
      const size = G(), b = state.b, angle = degrees * Math.PI / 180;
      state.w = [size * Math.cos(angle), size * Math.sin(angle)];
      state.b = b;
    }
    function move(item, to) {
      const z = clamp(to);
      if (item === "line") {
        const [a, c] = foot(), angle = Math.atan2(z[1] - c, z[0] - a) * 180 / Math.PI - 90;
        turned(angle);
      } else if (item < 0) state.x = z;
      else state.points[item] = [...z, state.points[item][2]];
    }
    function flipped() {
      if (chosen >= 0) state.points[chosen][2] *= -1;
    }
    function changed() {
      preset.value = "";
      draw();
    }

    /* Pictures. */
    const look = () => (document.documentElement.dataset.theme === "dark" ? DARK : LIGHT);
    const rgb = color => [1, 3, 5].map(i => parseInt(color.slice(i, i + 2), 16));
    const pixel = value => (value + SIDE) / (2 * SIDE) * canvas.width;
    const at = ([u, v]) => [pixel(u), pixel(-v)];
    function path(points, closed) {
      pen.beginPath();
      points.forEach((point, i) => pen[i ? "lineTo" : "moveTo"](...at(point)));
      if (closed) pen.closePath();
    }
    function stroke(color, width, dashes = []) {
      const unit = canvas.width / 480;
      Object.assign(pen, {strokeStyle: color, lineWidth: width * unit});
      pen.setLineDash(dashes.map(part => part * unit));
      pen.stroke();
      pen.setLineDash([]);
    }
    function ball(radius, color, width, dashes) {
      if (!(radius > 0) || radius > 20) return;
      const corners = [];
      for (let i = 0; i < 96; i++) {
        const u = [Math.cos(i * Math.PI / 48), Math.sin(i * Math.PI / 48)];
        const size = radius / lbrsMath.NORMS[state.norm](u);
        corners.push([state.x[0] + size * u[0], state.x[1] + size * u[1]]);
      }
      path(corners, true);
      stroke(color, width, dashes);
    }
    function mark(z, label, size, colors, bold) {
      const [u, v] = at(z), r = size * canvas.width / 480;
      pen.beginPath();
      if (label > 0) pen.arc(u, v, r, 0, 7);
      else for (let i = 0; i < 3; i++) {
        const angle = Math.PI * (i * 2 / 3 - 0.5);
        pen[i ? "lineTo" : "moveTo"](u + 1.25 * r * Math.cos(angle), v + 1.25 * r * Math.sin(angle));
      }
      pen.closePath();
      pen.fillStyle = label > 0 ? colors.up : colors.down;
      pen.fill();
      stroke(bold ? colors.ink : colors.ground, bold ? 3 : 1.2);
    }
    function star(z, colors) {
      pen.beginPath();
      for (let i = 0; i < 10; i++) {
        const r = (i % 2 ? 5 : 12) * canvas.width / 480, angle = Math.PI * (i / 5 - 0.5), [u, v] = at(z);
        pen[i ? "lineTo" : "moveTo"](u + r * Math.cos(angle), v + r * Math.sin(angle));
      }
      pen.closePath();
      pen.fillStyle = colors.ink;
      pen.fill();
      stroke(colors.ground, 1.2);
    }
    function arrow(from, by, colors) {
      const size = Math.hypot(...by);
      if (size < 1e-9) return;
      const to = [from[0] + by[0], from[1] + by[1]], u = by.map(part => part / size * 0.16);
      path([from, to]);
      stroke(colors.ink, 2.6);
      path([[to[0] - u[0] - u[1] / 1.6, to[1] - u[1] + u[0] / 1.6], to,
        [to[0] - u[0] + u[1] / 1.6, to[1] - u[1] - u[0] / 1.6]]);
      stroke(colors.ink, 2.6);
    }

    function paint() {
      const colors = look(), wide = Math.round(canvas.clientWidth * Math.min(devicePixelRatio, 2)) || 480;
      if (canvas.width !== wide) canvas.width = canvas.height = wide;
      found = lbrsMath.at(state);
      lbrsMath.regions(state, SIDE, CELLS, bits);
      const shades = [rgb(colors.minus), rgb(colors.plus)];
      bits.forEach((bit, i) => image.data.set([...shades[bit], 255], 4 * i));
      ink.putImageData(image, 0, 0);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(small, 0, 0, wide, wide);
      const [a, c] = foot(), along = [-state.w[1] / G(), state.w[0] / G()];
      path([-9, 9].map(t => [a + t * along[0], c + t * along[1]]));
      stroke(colors.ink, 3);
      ball(found.boundary, colors.ink, 1.4, [7, 5]);
      ball(found.neighbor, colors.ink, 1.4, [2, 4]);
      ball(found.theoremB, colors.ball, 3.2);
      ball(found.exact, colors.exact, 3.2, [3, 5]);
      state.points.forEach((point, i) => mark(point, point[2], 7, colors, i === chosen));
      arrow(state.x, found.bias, colors);
      star(state.x, colors);
      const [u, v] = at(handle()), r = 6 * wide / 480;
      pen.fillStyle = colors.ink;
      pen.fillRect(u - r, v - r, 2 * r, 2 * r);
      if (chosen === -1 || chosen === "line") {
        pen.beginPath();
        pen.arc(...at(place(chosen)), 2.6 * r, 0, 7);
        stroke(colors.ink, 1.4, [3, 3]);
      }
      write();
    }
    function write() {
      const signs = value => (value > 0 ? "+1" : "−1");
      const rows = [["dashed", "distance to the moved line", found.boundary],
        ["dotted", "distance to the next bisector", found.neighbor],
        ["", "Theorem 6: the smaller one", found.theorem6],
        ["ball", "Theorem B", found.theoremB], ["exact", "exact radius (Theorem C)", found.exact]];
      numbers.replaceChildren(make("tbody", {}, ...rows.map(([kind, text, value]) => make("tr", {},
        make("th", {scope: "row"}, make("i", {class: `lbrs-line ${kind}`}), text),
        make("td", {}, told(value))))));
      const degrees = Math.round(Math.atan2(state.w[1], state.w[0]) * 180 / Math.PI);
      Object.assign(alpha, {value: state.alpha});
      Object.assign(turn, {value: degrees});
      Object.assign(shift, {value: -state.b / G()});
      norm.value = state.norm;
      alpha.setAttribute("aria-valuetext", `α = ${told(state.alpha)}`);
      flip.disabled = !(chosen >= 0);
      const text = `α = ${told(state.alpha)}, ${NAMES[state.norm]}: the line says ${signs(found.base)}, `
        + `the oracle ${signs(found.label)}, the smoothed classifier ${signs(found.prediction)}.`;
      clearTimeout(later);
      later = setTimeout(() => {
        if (live.textContent !== text) live.textContent = text;
        if (figure.dataset.touched) history.replaceState(null, "", packed(state));
      }, live.textContent ? 300 : 0);
    }
    function draw() {
      if (!due) due = requestAnimationFrame(() => { due = 0; paint(); });
    }
    function show(next) {
      const goal = next.alpha, start = performance.now();
      state = copy(Object.fromEntries(KEYS.map(key => [key, next[key]])));
      chosen = -1;
      const step = now => {
        const share = calm.matches ? 1 : Math.min(1, (now - start) / 500);
        state.alpha = Math.max(0, goal * share);
        paint();
        if (share < 1) requestAnimationFrame(step);
      };
      step(start);
    }

    /* What the reader does. */
    const touched = () => { figure.dataset.touched = "yes"; };
    const under = event => {
      const box = canvas.getBoundingClientRect(), unit = 2 * SIDE / box.width;
      return [(event.clientX - box.left) * unit - SIDE, SIDE - (event.clientY - box.top) * unit];
    };
    const reach = event => (event.pointerType === "mouse" ? 0.25 : 0.4);
    function hit(z, far) {
      let best = null;
      for (const item of [-1, "line", ...state.points.keys()]) {
        const size = Math.hypot(place(item)[0] - z[0], place(item)[1] - z[1]);
        if (size < far) { best = item; far = size; }
      }
      return best;
    }
    canvas.addEventListener("touchstart", event => {
      if (hit(under(event.touches[0]), 0.4) !== null) event.preventDefault();
    }, {passive: false});
    canvas.addEventListener("pointerdown", event => {
      held = hit(under(event), reach(event));
      if (held === null) return;
      touched();
      chosen = held;
      canvas.setPointerCapture(event.pointerId);
      draw();
    });
    canvas.addEventListener("pointermove", event => {
      if (held === null) return;
      move(held, under(event));
      changed();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });
    canvas.addEventListener("dblclick", () => { flipped(); changed(); });
    canvas.addEventListener("keydown", event => {
      const size = event.shiftKey ? 0.25 : 0.05, order = [-1, "line", ...state.points.keys()];
      const by = {ArrowLeft: [-size, 0], ArrowRight: [size, 0], ArrowUp: [0, size],
        ArrowDown: [0, -size]}[event.key];
      const key = event.key.toLowerCase();
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (by) move(chosen, [place(chosen)[0] + by[0], place(chosen)[1] + by[1]]);
      else if (key === "n" || key === "p") {
        const next = order.indexOf(chosen) + (key === "n" ? 1 : -1);
        chosen = order[(next + order.length) % order.length];
      } else if (key === "f") flipped();
      else return;
      event.preventDefault();
      event.stopPropagation();
      touched();
      by || key === "f" ? changed() : draw();
    });
    const listen = (input, act) => input.addEventListener("input", () => {
      touched();
      act(+input.value);
      changed();
    });
    listen(alpha, value => { state.alpha = value; });
    listen(turn, turned);
    listen(shift, value => { state.b = -value * G(); });
    norm.addEventListener("input", () => { touched(); state.norm = norm.value; draw(); });
    preset.addEventListener("input", () => {
      if (preset.value === "") return;
      touched();
      show(presets[+preset.value]);
    });
    flip.addEventListener("click", () => { touched(); flipped(); changed(); });
    new MutationObserver(draw).observe(document.documentElement, {attributeFilter: ["data-theme"]});
    new ResizeObserver(draw).observe(canvas);
    const given = number ? null : unpacked(location.hash);
    preset.value = given ? "" : 0;
    show(given || presets[0]);
  }

  const start = () => document.querySelectorAll(".lbrs-play").forEach(play);
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
