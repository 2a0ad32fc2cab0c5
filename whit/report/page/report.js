"use strict";
// Draws the report from the JSON in #data. Text from models and users is only ever set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const board = data.board, rows = board.rows, verdict = board.verdict;

// Okabe and Ito's colours, told apart by the colour-blind; shapes and dashes tell them apart without colour.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a6d00", "#7f7f7f"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "", "7 3", "2 3", "9 3 2 3"];
const pipelines = rows.filter((r) => r.is_trained).map((r) => r.name);
const arms = rows.filter((r) => !r.is_trained).map((r) => r.name);
const place = (name) => Math.max(0, [...pipelines, ...arms].indexOf(name)) % COLOURS.length;
const colour = (name) => COLOURS[place(name)];

// Elements.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
function section(id, title, ...children) {
  const node = el("section", { id, "aria-labelledby": id + "-title" }, el("h2", { id: id + "-title" }, title), ...children);
  document.getElementById("main").append(node);
  document.getElementById("contents").append(el("li", {}, el("a", { href: "#" + id }, title)));
  return node;
}
function table(heads, body, options = {}) {
  const head = el("tr", {}, ...heads.map((text, i) => el("th", { scope: "col", class: options.text?.includes(i) ? "text" : null }, text)));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": options.label || heads[0] },
    el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
}
const cell = (content, name) => el("td", { class: name || null }, content);

// Numbers.
const percent = (share) => (share === null || share === undefined ? "-" : (100 * share).toFixed(1));
const signed = (share) => (share >= 0 ? "+" : "") + (100 * share).toFixed(1);
const interval = (i) => (i ? `${percent(i.estimate)} [${percent(i.low)}, ${percent(i.high)}]` : "-");
const excludesZero = (i) => i.low > 0 || i.high < 0;
const gain = (i) => (i ? `${signed(i.estimate)} [${signed(i.low)}, ${signed(i.high)}]${excludesZero(i) ? "*" : ""}` : "-");
function flops(value) {
  if (!value) return "0";
  for (const [unit, size] of [["E", 1e18], ["P", 1e15], ["T", 1e12], ["G", 1e9], ["M", 1e6]])
    if (value >= size) return (value / size).toPrecision(3) + " " + unit + "FLOP";
  return value.toPrecision(3) + " FLOP";
}
function duration(seconds) {
  if (seconds < 90) return seconds.toFixed(seconds < 10 ? 1 : 0) + " s";
  if (seconds < 5400) return (seconds / 60).toFixed(0) + " min";
  return (seconds / 3600).toFixed(1) + " h";
}
const whole = (value) => Math.round(value).toLocaleString("en");

// Scales and axes.
function ticks(low, high, count = 5) {
  const raw = (high - low || 1) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step) found.push(+t.toPrecision(12));
  return found;
}
// Charts are drawn at the width of the page, so that their text keeps its size on a phone.
const wide = () => Math.max(280, Math.min(680, document.getElementById("main").clientWidth));
const redraws = [];
const drawn = (draw) => {
  const holder = el("div");
  const redraw = () => holder.replaceChildren(draw());
  redraws.push(redraw); redraw();
  return holder;
};
let width_before = wide();
window.addEventListener("resize", () => {
  if (wide() === width_before) return;
  width_before = wide();
  redraws.forEach((redraw) => redraw());
});
const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

function marker(name, x, y, size = 5) {
  const fill = colour(name), shape = place(name) % 4;
  if (shape === 0) return svg("circle", { cx: x, cy: y, r: size, fill });
  if (shape === 1) return svg("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size, fill });
  const up = shape === 2 ? 1 : -1;
  return svg("path", { d: `M ${x} ${y - up * size * 1.2} L ${x + size * 1.1} ${y + up * size} L ${x - size * 1.1} ${y + up * size} Z`, fill });
}
function legend(names) {
  return el("ul", { class: "legend" }, ...names.map((name) => el("li", {},
    svg("svg", { viewBox: "0 0 22 12", "aria-hidden": "true" },
      svg("line", { x1: 0, x2: 22, y1: 6, y2: 6, stroke: colour(name), "stroke-width": 2, "stroke-dasharray": DASHES[place(name)] }),
      marker(name, 11, 6, 4)), name)));
}

// Head.
const task = typeof data.study.task === "string" ? data.study.task : data.study.task.name;
const short = (path) => String(path).split("/").filter(Boolean).pop();
document.getElementById("title").textContent = `${short(data.study.model)} on ${short(task)}`;
document.getElementById("about").textContent =
  `${rows.filter((r) => r.is_trained && !r.is_control).length} trainings` +
  (rows.some((r) => r.is_control) ? ` and ${rows.filter((r) => r.is_control).length} control${rows.filter((r) => r.is_control).length > 1 ? "s" : ""}` : "") +
  ` x ${data.study.seeds} seeds, each with up to ${flops(data.study.flops)}; ` +
  `${whole(board.num_items)} test items x ${board.num_samples} samples.`;
document.getElementById("footer").textContent = `Made ${data.made} from ${data.directory}, protocol ${board.protocol}. Intervals are 95 %, clustered by group. ` +
  (!board.looks ? "" : `The test split was opened for ${board.looks} models here` +
  (board.other_looks ? `, and for ${board.other_looks} others before or beside it: what was chosen after seeing those is in no interval.` : "."));

// Verdict.
section("verdict", "Verdict",
  el("p", { class: "verdict" }, verdict.sentence),
  board.complete ? null : el("p", { class: "wrong-text" }, "Incomplete: not every run is finished. Run the same command again."),
  board.best_run ? el("p", { class: "muted small" },
    `Exported: ${board.best_run}, of ${board.best} the best seed on ${board.chosen_on}. ` +
    (board.chosen_on === "test" ? "Its own score is biased upwards; " : "") + "the pipeline's mean over seeds is in the table.") : null);

// Ranking.
function bars() {
  const width = wide(), left = Math.min(130, 20 + 7 * Math.max(...rows.map((r) => r.name.length))), right = 16, step = 30, height = rows.length * step + 34;
  const highest = Math.max(0.05, ...rows.map((r) => r.accuracy.high));
  const x = scale(0, highest, left, width - right);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "Accuracy of every pipeline with its 95 % interval; the table below has the numbers." });
  for (const t of ticks(0, highest)) chart.append(
    svg("line", { class: "axis", x1: x(t), x2: x(t), y1: 4, y2: height - 26 }),
    svg("text", { class: "muted", x: x(t), y: height - 8, "text-anchor": "middle" }, `${+(100 * t).toFixed(1)} %`));
  rows.forEach((row, i) => {
    const y = i * step + 20;
    chart.append(
      svg("text", { x: left - 10, y: y + 4, "text-anchor": "end" }, row.name),
      svg("line", { x1: x(row.accuracy.low), x2: x(row.accuracy.high), y1: y, y2: y, stroke: colour(row.name), "stroke-width": 3,
        "stroke-dasharray": row.is_trained ? "" : "3 3" }),
      marker(row.name, x(row.accuracy.estimate), y));
    for (const run of data.runs.filter((r) => r.pipeline === row.name && r.accuracy))
      chart.append(svg("circle", { cx: x(run.accuracy[0]), cy: y - 9, r: 2, fill: colour(row.name) }));
  });
  return chart;
}
const ranking = rows.map((row) => el("tr", { class: row.name === verdict.recommended ? "best" : null },
  el("td", {}, row.name,
    row.name === verdict.recommended ? el("span", { class: "tag" }, row.is_trained ? "recommended" : "leave untrained") : null,
    row.is_control ? el("span", { class: "tag" }, "control") : null,
    verdict.shortlist.includes(row.name) ? el("span", { class: "tag" }, "shortlist") : null),
  cell(interval(row.accuracy)), cell(gain(row.difference)), cell(percent(row.greedy)), cell(percent(row.strict)),
  cell(row.is_trained ? flops(row.flops) : "-"), cell(row.is_trained ? flops(row.flops_from_nothing) : "-"), cell(row.is_trained ? duration(row.seconds) : "-"), cell(row.is_trained ? row.seeds : "-")));
section("ranking", "Ranking",
  el("figure", {}, drawn(bars), el("figcaption", {},
    "Mean accuracy over seeds, items and samples, with 95 % intervals; small dots are single seeds, dashed rows train nothing.")),
  table(["pipeline", "accuracy %", "minus " + (board.reference || "zero_shot").replace("_", "-"), "greedy %", "strict %", "cost of a run", "from nothing", "time here", "seeds"], ranking,
    { label: "Ranking" }),
  el("p", { class: "muted small" },
    "From nothing: with trials, choices on dev, and the writing of a teacher's texts that were given. Intervals of the differences hold simultaneously (* excludes zero). The shortlist is what simultaneous intervals against the best cannot exclude."));

// Accuracy against cost.
function scatter(unit, price) {
  const shown = rows.filter((r) => r.is_trained);
  const cost = (r) => (unit === "flops" ? r.flops : unit === "seconds" ? r.seconds : (r.seconds / 3600) * price);
  const label = { flops: "operations of one run", seconds: "time of one run here", price: "price of one run" }[unit];
  const text = (v) => (unit === "flops" ? flops(v) : unit === "seconds" ? duration(v) : v.toPrecision(2));
  const width = wide(), height = 320, left = 52, bottom = 44, top = 12, right = 24;
  const most = Math.max(...shown.map(cost), 1e-9) * 1.08;
  const lows = shown.map((r) => r.accuracy.low), base = rows.find((r) => r.name === "zero_shot" && !r.is_trained);
  const low = Math.max(0, Math.min(...lows, base ? base.accuracy.estimate : 1) - 0.03);
  const high = Math.min(1, Math.max(...shown.map((r) => r.accuracy.high)) + 0.03);
  const x = scale(0, most, left, width - right), y = scale(low, high, height - bottom, top);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Accuracy against the ${label}.` });
  for (const t of ticks(low, high)) chart.append(
    svg("line", { class: "axis", x1: left, x2: width - right, y1: y(t), y2: y(t) }),
    svg("text", { class: "muted", x: left - 8, y: y(t) + 4, "text-anchor": "end" }, `${+(100 * t).toFixed(1)} %`));
  for (const t of ticks(0, most, width < 500 ? 2 : 4)) chart.append(
    svg("text", { class: "muted", x: x(t), y: height - bottom + 18, "text-anchor": "middle" }, t ? text(t) : "0"));
  chart.append(svg("text", { class: "muted", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, label));
  if (base) chart.append(
    svg("line", { x1: left, x2: width - right, y1: y(base.accuracy.estimate), y2: y(base.accuracy.estimate), stroke: "currentColor", "stroke-dasharray": "4 4", opacity: 0.6 }),
    svg("text", { class: "muted", x: left + 6, y: y(base.accuracy.estimate) - 5 }, "zero_shot"));
  for (const row of shown) chart.append(
    svg("line", { x1: x(cost(row)), x2: x(cost(row)), y1: y(row.accuracy.low), y2: y(row.accuracy.high), stroke: colour(row.name), "stroke-width": 2, opacity: 0.5 }),
    marker(row.name, x(cost(row)), y(row.accuracy.estimate), 6));
  return chart;
}
if (pipelines.length) {
  const figure = el("div"), sentence = el("p");
  const price = el("input", { type: "number", min: 0, step: 0.1, value: data.study.price || 1, id: "price", "aria-label": "price of an hour" });
  const units = [["flops", "FLOPs"], ["seconds", "hours here"], ["price", "price"]];
  const draw = () => {
    const unit = document.querySelector("input[name=unit]:checked").value;
    figure.replaceChildren(scatter(unit, Number(price.value) || 0));
    const names = verdict.by_unit || {};
    sentence.textContent = !verdict.recommended ? "" : names.flops === names.seconds
      ? `The recommendation, ${names.flops}, does not change with the unit.`
      : `The recommendation changes with the unit: ${names.flops} by FLOPs, ${names.seconds} by hours and price.`;
  };
  const choices = el("fieldset", {}, el("legend", {}, "Cost in"), ...units.map(([value, text], i) =>
    el("label", {}, el("input", { type: "radio", name: "unit", value, checked: i === 0, onchange: draw }), " ", text)));
  price.addEventListener("input", draw);
  redraws.push(() => draw());
  section("cost", "Accuracy against cost", el("div", { class: "controls" }, choices,
    el("label", {}, "an hour costs ", price)), el("figure", {}, figure, legend(pipelines)), sentence);
  draw();
}

// Curves.
const NAMES = { cross_entropy: "cross-entropy (nats)", forward_kl: "KL to the teacher (nats)", reward: "reward", accuracy: "accuracy while sampling",
  entropy: "entropy (nats)", completion_tokens: "tokens of a completion", truncated: "share cut off", equal_groups: "groups without signal",
  compression: "space, understanding layers (weighted)", selection: "space, prediction layers (weighted)",
  gradient_cosine: "cosine of the gradients of loss and space", masked: "hidden tokens of a step",
  dev_accuracy: "accuracy on dev, greedy", dev_strict: "strict accuracy on dev" };
function panel(kind, key, lines) {
  const width = 300, height = 170, left = 44, bottom = 24, top = 8, right = 8;
  const values = lines.flatMap((l) => l.points.map((p) => p[1]));
  let low = Math.min(...values), high = Math.max(...values);
  if (low > 0 && low < 0.4 * high) low = 0;
  const x = scale(0, 1, left, width - right), y = scale(low, high, height - bottom, top);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${NAMES[key]} during ${kind}` });
  for (const t of ticks(low, high, 3)) chart.append(
    svg("line", { class: "axis", x1: left, x2: width - right, y1: y(t), y2: y(t) }),
    svg("text", { class: "muted", x: left - 6, y: y(t) + 4, "text-anchor": "end" }, String(+t.toPrecision(3))));
  for (const t of [0, 0.5, 1]) chart.append(svg("text", { class: "muted", x: x(t), y: height - 6, "text-anchor": t === 1 ? "end" : "middle" }, `${100 * t} %`));
  for (const line of lines) chart.append(svg("polyline", { fill: "none", stroke: colour(line.pipeline), "stroke-width": 1.6, "stroke-dasharray": DASHES[place(line.pipeline)],
    opacity: line.first ? 1 : 0.45, points: line.points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ") }));
  return el("figure", {}, el("figcaption", {}, NAMES[key]), chart);
}
const firstSeed = (name) => Math.min(...data.runs.filter((r) => r.pipeline === name).map((r) => r.seed));
const stageKinds = [...new Set(data.curves.flatMap((run) => run.stages.map((s) => s.kind)))];
if (stageKinds.length) {
  const parts = [];
  for (const kind of stageKinds) {
    const keys = Object.keys(NAMES).filter((key) => data.curves.some((run) => run.stages.some((s) => s.kind === kind && s.curves[key])));
    if (!keys.length) continue;
    const found = new Set();
    const panels = keys.map((key) => panel(kind, key, data.curves.flatMap((run) => run.stages
      .filter((s) => s.kind === kind && s.curves[key])
      .map((s) => { found.add(run.pipeline); return { pipeline: run.pipeline, first: run.seed === firstSeed(run.pipeline), points: s.curves[key] }; }))));
    parts.push(el("h3", {}, `Stage ${kind}`), legend(pipelines.filter((p) => found.has(p))), el("div", { class: "panels" }, ...panels));
  }
  section("curves", "Learning curves", el("p", { class: "muted small" },
    "Over the share of the stage's budget that is spent; one line a run, the first seed strong."), ...parts);
}

// Form.
section("form", "Length, format, truncation", table(
  ["pipeline", "tokens", "right form %", "strict %", "lenient %", "cut off %"],
  rows.map((r) => el("tr", {}, cell(r.name), cell(r.tokens === null ? "-" : r.tokens.toFixed(1)), cell(percent(r.format_rate)),
    cell(percent(r.strict)), cell(percent(r.accuracy.estimate)), cell(percent(r.truncated)))), { label: "Form of completions" }),
  el("p", { class: "muted small" }, "Strict counts an answer only in the form that the prompt asked for; lenient decides the ranking."));

// Elsewhere.
if (data.elsewhere.length) {
  const base = data.elsewhere.find((e) => e.name === "zero_shot");
  const change = (e, key, digits, factor) => (base && e !== base ? ` (${e[key] >= base[key] ? "+" : ""}${(factor * (e[key] - base[key])).toFixed(digits)})` : "");
  section("elsewhere", "What training did elsewhere", table(["pipeline", "instructions followed %", "bits per byte of plain text"],
    data.elsewhere.map((e) => el("tr", {}, cell(e.name), cell((100 * e.instructions).toFixed(0) + change(e, "instructions", 0, 100)),
      cell(e.bits_per_byte === null ? "-" : e.bits_per_byte.toFixed(3) + change(e, "bits_per_byte", 3, 1)))), { label: "Elsewhere" }),
    el("p", { class: "muted small" }, `A fixed panel of ${data.elsewhere[0].of} checkable instructions and a page of plain text; ` +
      "mean over seeds, in brackets the change from the untrained model. Small: it shows damage, it does not rank."));
}

// Costs.
const purposes = [...new Set(data.costs.flatMap((c) => Object.keys(c.purposes)))];
if (purposes.length) section("purposes", "Costs by purpose", table(["pipeline", ...purposes.flatMap((p) => [p, ""])],
  data.costs.map((c) => el("tr", {}, cell(c.pipeline), ...purposes.flatMap((p) => {
    const spent = c.purposes[p];
    return [cell(spent ? flops(spent.flops) : "-"), cell(spent ? duration(spent.seconds || 0) : "", "muted")];
  }))), { label: "Costs by purpose" }),
  el("p", { class: "muted small" }, "Of one run, mean over seeds. Scoring (evaluate) is nobody's budget; that of majority@8 is what its votes take on these items."));

// Troubles.
const troubles = data.runs.filter((r) => r.outcome !== "finished");
if (troubles.length || Object.keys(board.failures).length) section("troubles", "What went wrong", table(["run", "outcome", "reason"],
  [...troubles.map((r) => el("tr", {}, cell(r.name), cell(r.outcome, "text"), cell(r.error, "text wrap"))),
    ...Object.entries(board.failures).map(([name, reason]) => el("tr", {}, cell(name), cell("not scored", "text"), cell(reason, "text wrap")))],
  { text: [1, 2], label: "What went wrong" }),
  el("p", { class: "muted small" }, "Such a run counts with the accuracy of its last checkpoint; it is not left out."));

// Suspicious gold.
if (data.suspicious.length) section("suspicious", "Suspicious gold", el("p", {},
  "Most runs give one and the same answer to these, and it is not the gold one. Look at the gold first."),
  table(["problem", "gold", "the runs say", "runs"], data.suspicious.slice(0, 40).map((s) => el("tr", {}, cell(s.prompt, "text wrap"),
    cell(s.gold), cell(s.answer), cell(`${s.runs} of ${s.of}`))), { text: [0], label: "Suspicious gold" }));

// Completions.
if (data.missing.length) section("missing", "Not found", el("p", {},
  `The completions of ${data.missing.join(", ")} are not in the store beside this study, so they are not shown.`));
if (data.items.length) {
  const names = [...new Set(data.items.flatMap((item) => Object.keys(item.by)))];
  const select = (id, chosen) => el("select", { id, onchange: () => restart() }, ...names.map((n) => el("option", { value: n, selected: n === chosen }, n)));
  const first = board.best_run && names.includes(board.best_run) ? board.best_run : names[0];
  const second = names.includes("zero_shot") && first !== "zero_shot" ? "zero_shot" : names.find((n) => n !== first) || first;
  const a = select("run-a", first), b = select("run-b", second);
  const search = el("input", { type: "search", placeholder: "Search problems and completions", "aria-label": "Search", oninput: () => restart() });
  const differ = el("input", { type: "checkbox", id: "differ", onchange: () => restart() });
  const show = el("select", { "aria-label": "Show", onchange: () => restart() },
    ...[["all", "right and wrong"], ["right", "left one right"], ["wrong", "left one wrong"]].map(([v, t]) => el("option", { value: v }, t)));
  const list = el("div"), status = el("p", { class: "muted small", role: "status" }), more = el("button", { type: "button", onclick: () => extend() }, "Show more");
  let found = [], shown = 0;
  const answer = (item, name) => {
    const c = item.by[name];
    if (!c) return el("div", { class: "answer" }, el("span", { class: "muted" }, `${name}: not asked`));
    const verdictText = c.correct ? (c.strict ? "right" : "right, in another form") : c.answer === null ? "wrong: no answer found" : `wrong: ${c.answer}`;
    return el("div", { class: "answer " + (c.correct ? "right" : "wrong") },
      el("span", { class: "small" }, name + ": ", el("span", { class: c.correct ? "right-text" : "wrong-text" }, verdictText),
        el("span", { class: "muted" }, ` · ${c.tokens} tokens${c.truncated ? ", cut off" : ""}`)), el("pre", { tabindex: 0 }, c.text));
  };
  const extend = () => {
    for (const item of found.slice(shown, shown + 20)) list.append(el("article", { class: "item" },
      el("p", { class: "prompt" }, item.prompt), el("p", { class: "small muted" }, `gold: ${item.gold}`),
      el("div", { class: "pair" }, answer(item, a.value), a.value === b.value ? null : answer(item, b.value))));
    shown = Math.min(found.length, shown + 20);
    more.hidden = shown >= found.length;
    status.textContent = `${shown} of ${found.length} problems`;
  };
  const restart = () => {
    const wanted = search.value.toLowerCase();
    found = data.items.filter((item) => {
      const ca = item.by[a.value], cb = item.by[b.value];
      if (differ.checked && !(ca && cb && ca.correct !== cb.correct)) return false;
      if (show.value !== "all" && !(ca && ca.correct === (show.value === "right"))) return false;
      return !wanted || [item.prompt, item.gold, ca?.text, cb?.text].some((t) => t && String(t).toLowerCase().includes(wanted));
    });
    shown = 0; list.replaceChildren(); extend();
  };
  section("completions", "Completions", el("div", { class: "controls" }, el("label", {}, "left ", a), el("label", {}, "right ", b), show,
    el("label", {}, differ, " only where the two differ"), search), status, list, more);
  restart();
}

// Recipes.
const recipes = Object.entries(data.recipes);
if (recipes.length) section("recipes", "Resolved recipes",
  ...(data.study.notes || []).map((note) => el("p", { class: "muted small" }, note)),
  ...recipes.map(([name, text]) => el("details", {}, el("summary", {}, name), el("pre", { tabindex: 0 }, text))));
