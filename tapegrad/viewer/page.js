"use strict";
// The page is made of its content alone: text is set as text, never as HTML.
const content = JSON.parse(document.getElementById("content").textContent);
const ROW = 24, BESIDE = 12;
const KEYS = [
  ["\u2191 \u2193", "the entry before, the entry after"], ["Page Up, Page Down, Home, End", "further"],
  ["\u2190 \u2192", "fold, unfold a loop, a scan or a stage"], ["Enter", "to the entry that wrote the first operand"],
  ["Backspace", "back to where you came from"], ["/", "search"], ["n, N", "the next match, the one before"],
  ["Esc", "close the details"], ["Tab", "from the tabs to your code, the entries, the details"],
];
const byId = (id) => document.getElementById(id);

function el(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Sheets --------------------------------------------------------------------------------------------------------

const fileNumbers = new Map(content.files.map((file, i) => [file.name, i]));
let ids = 0;

function prepare(sheet) {
  sheet.id = ids++;
  sheet.names = new Map(sheet.leaves.map(([slot, name]) => [slot, name]));
  sheet.writer = new Map(sheet.output.map((slot, i) => [slot, i]));
  sheet.guarded = new Map();
  sheet.guards.forEach((guard, i) => {
    if (!sheet.guarded.has(guard[0])) sheet.guarded.set(guard[0], []);
    sheet.guarded.get(guard[0]).push(i);
  });
  sheet.nan = new Set(sheet.value ? sheet.value.nan : []);
  sheet.inf = new Set(sheet.value ? sheet.value.inf : []);
  sheet.adjointBad = new Set(sheet.adjoint ? [...sheet.adjoint.nan, ...sheet.adjoint.inf] : []);
  sheet.stages = sheet.stages || [];
  Object.values(sheet.bodies).forEach(prepare);
}
content.sheets.forEach(prepare);

const nameOf = (sheet, slot) => sheet.names.has(slot) ? sheet.names.get(slot) : `%${slot}`;
const callOf = (sheet, i) => sheet.inputs[i].map((slot) => nameOf(sheet, slot)).join(", ") + (sheet.attrs[i] || "");
const opOf = (sheet, i) => sheet.ops[sheet.op[i]];
const shapeOf = (sheet, slot) => sheet.shapes[sheet.shape[slot]];
const valueOf = (numbers, slot) => (numbers && numbers.text[slot]) || "";
const keyOfPlace = (sheet, place) => (place < 0 ? null : sheet.places[place].join(":"));
const textOfPlace = (sheet, place) =>
  place < 0 ? "" : `${content.files[sheet.places[place][0]].name}:${sheet.places[place][1]}`;
const shortPlace = (sheet, place) => // of one file, the number of the line is enough
  content.files.length === 1 && place >= 0 ? String(sheet.places[place][1]) : textOfPlace(sheet, place);

function lineIndex(sheet) { // which entries belong to a line of the code, the bodies of scans included
  if (sheet.byLine) return sheet.byLine;
  sheet.byLine = new Map();
  const add = (inner) => {
    inner.line.forEach((place, i) => {
      const key = keyOfPlace(inner, place);
      if (key === null) return;
      if (!sheet.byLine.has(key)) sheet.byLine.set(key, []);
      sheet.byLine.get(key).push(inner, i);
    });
    Object.values(inner.bodies).forEach(add);
  };
  add(sheet);
  return sheet.byLine;
}

function readersOf(sheet, slot) {
  if (!sheet.readers) {
    sheet.readers = new Map();
    sheet.inputs.forEach((slots, i) => {
      for (const one of new Set(slots)) {
        if (!sheet.readers.has(one)) sheet.readers.set(one, []);
        sheet.readers.get(one).push(i);
      }
    });
  }
  return sheet.readers.get(slot) || [];
}

// Rows: what is unfolded, in order -----------------------------------------------------------------------------

const tabs = [
  ...content.sheets.map((sheet) => ({ title: sheet.title, note: sheet.note, sheet })),
  ...content.texts.map((text) => ({ title: text.title, note: text.note, lines: text.text.split("\n") })),
];
tabs.forEach((one) => {
  one.unfolded = new Map();
  one.top = 0;
  if (!one.lines) return;
  let isWithin = false; // a comment of several lines
  one.comments = one.lines.map((line) => {
    const begins = /^\s*(#|\/\/)/.test(line) || /^\s*\/\*/.test(line), found = begins || isWithin;
    isWithin = (isWithin || line.includes("/*")) && !/\*\/\s*$/.test(line);
    return found;
  });
});
let tab = tabs[0], rows = [], chosen = null, lit = null, matches = [], match = -1, trail = [];
let matched = new Set(), reads = new Set(), used = new Set();

const keyOf = (row) => (row ? `${row.k}${row.s ? row.s.id : ""}.${row.i}${row.to ? `.${row.to}` : ""}` : null);
const isOpen = (row) => tab.unfolded.has(keyOf(row)) ? tab.unfolded.get(keyOf(row)) : Boolean(row.open);

function span(sheet, from, to, k, depth) {
  let i = from;
  while (i < to) {
    while (k < sheet.loops.length && sheet.loops[k][0] < i) k++;
    const loop = sheet.loops[k];
    if (loop && loop[0] === i && i + loop[1] * loop[2] <= to) {
      const [start, size, turns] = loop, end = start + size * turns;
      const header = { k: "loop", s: sheet, i: start, to: end, size, turns, d: depth };
      rows.push(header);
      for (let t = 0; isOpen(header) && t < turns; t++) {
        const a = start + t * size;
        const turn = { k: "turn", s: sheet, i: a, to: a + size, t, turns, d: depth + 1, open: t === 0 };
        rows.push(turn);
        if (isOpen(turn)) span(sheet, a, a + size, k + 1, depth + 2);
      }
      i = end;
      k++;
    } else {
      entry(sheet, i++, depth);
    }
  }
}

function entry(sheet, i, depth) {
  const row = { k: "entry", s: sheet, i, d: depth };
  rows.push(row);
  guardsOf(sheet, sheet.output[i], depth);
  const body = sheet.bodies[i];
  if (body && isOpen(row)) whole(body, depth + 1);
}

function guardsOf(sheet, slot, depth) {
  for (const g of sheet.guarded.get(slot) || []) rows.push({ k: "guard", s: sheet, i: g, d: depth });
}

function whole(sheet, depth) {
  sheet.leaves.forEach(([slot, , kind], i) => {
    if (kind !== "constant") rows.push({ k: "leaf", s: sheet, i, d: depth });
    guardsOf(sheet, slot, depth);
  });
  if (!sheet.stages.length) span(sheet, 0, sheet.output.length, 0, depth);
  sheet.stages.forEach((stage, i) => {
    const row = { k: "stage", s: sheet, i, d: depth, open: true };
    rows.push(row);
    if (isOpen(row)) span(sheet, stage.from, stage.to, 0, depth);
  });
}

function rebuild() {
  rows = [];
  if (tab.sheet) whole(tab.sheet, 0);
  else tab.lines.forEach((_, i) => rows.push({ k: "text", i, d: 0 }));
  body.style.height = `${rows.length * ROW + 8}px`;
  view.setAttribute("aria-rowcount", rows.length + 1);
  byId("fold").textContent = rows.some((row) => isOpen(row) && "loop turn".includes(row.k)) ? "Fold all" : "Unfold all";
  byId("fold").hidden = !tab.sheet || !(tab.sheet.loops.length || Object.keys(tab.sheet.bodies).length);
  paint();
}

const isFoldable = (row) =>
  row.k === "loop" || row.k === "turn" || row.k === "stage" || (row.k === "entry" && row.s.bodies[row.i] !== undefined);

function fold(row, open) {
  tab.unfolded.set(keyOf(row), open);
  rebuild();
}

// Painting -----------------------------------------------------------------------------------------------------

const view = byId("view"), head = el("div", { class: "head", role: "row" }), body = el("div", { class: "body" });
view.append(head, body);

function columns() {
  const sheet = tab.sheet;
  if (!sheet) {
    const longest = Math.max(...tab.lines.map((line) => line.length).concat(1));
    setColumns([`calc(${Math.max(String(tab.lines.length).length, 4) + 1}ch + 10px)`, `minmax(${longest + 2}ch, 1fr)`], longest + 12);
    head.replaceChildren(el("span", { class: "right", role: "columnheader" }, "line"), el("span", { role: "columnheader" }, "code"));
    return;
  }
  const deepest = sheet.loops.length || Object.keys(sheet.bodies).length ? 4 : 0;
  const most = { op: 5, call: 8, slot: 3, shape: 6, value: 6, adjoint: 8, place: 5 };
  const measure = (one) => {
    const longer = (column, text) => { if (text.length > most[column]) most[column] = text.length; };
    one.ops.forEach((op) => longer("op", op));
    one.leaves.forEach(([slot, name, kind]) => {
      if (kind === "constant") return;
      longer("op", kind); longer("call", name); longer("value", valueOf(one.value, slot)); longer("adjoint", valueOf(one.adjoint, slot));
    });
    one.shapes.forEach((shape) => longer("shape", shape));
    one.places.forEach((_, i) => longer("place", shortPlace(one, i)));
    one.output.forEach((slot, i) => {
      longer("call", callOf(one, i)); longer("value", valueOf(one.value, slot)); longer("adjoint", valueOf(one.adjoint, slot));
    });
    longer("slot", `%${one.shape.length}`);
    Object.values(one.bodies).forEach(measure);
  };
  measure(sheet);
  const width = (column, cap, more = 0) => Math.min(most[column], cap) + more;
  const plan = [
    ["entry", Math.max(String(sheet.output.length).length, 5) + 1, "right"], ["op", width("op", 20, deepest + 2), ""],
    ["operands", width("call", 40, 1), ""], ["writes", width("slot", 9, 3), ""], ["shape", width("shape", 18, 1), ""],
  ];
  if (sheet.value) plan.push(["value", width("value", 24, 1), "right"]);
  if (sheet.adjoint) plan.push(["adjoint", width("adjoint", 24, 1), "right"]);
  plan.push(["line", width("place", 26, 1), ""]);
  setColumns(
    plan.map(([name, n]) => (name === "operands" ? `minmax(calc(${n}ch + 10px), 1fr)` : `calc(${n}ch + 10px)`)),
    plan.reduce((sum, [, n]) => sum + n, 0), plan.length * 10 + 22);
  head.replaceChildren(...plan.map(([name, , side]) => el("span", { class: side, role: "columnheader" }, name)));
}

function setColumns(template, characters, pixels = 40) {
  view.style.setProperty("--columns", template.join(" "));
  view.style.setProperty("--width", `calc(${characters}ch + ${pixels}px)`);
}

function cell(style, text, isBad) {
  return el("span", { class: isBad ? `${style} nonfinite` : style, role: "gridcell", title: text.length > 16 ? text : null }, text);
}

function indented(row, text) {
  const cellOf = cell("op", text);
  cellOf.style.paddingLeft = `calc(10px + ${2 * row.d}ch)`;
  if (isFoldable(row)) cellOf.prepend(el("span", { class: "twist" }, isOpen(row) ? "\u25be" : "\u25b8"));
  return cellOf;
}

function numbersOf(row, slot) {
  const sheet = row.s, found = [];
  if (tab.sheet.value) found.push(cell("right value", valueOf(sheet.value, slot), sheet.nan.has(slot) || sheet.inf.has(slot)));
  if (tab.sheet.adjoint) found.push(cell("right adjoint", valueOf(sheet.adjoint, slot), sheet.adjointBad.has(slot)));
  return found;
}

function cellsOf(row) {
  const sheet = row.s;
  if (row.k === "text") return [cell("index right", String(row.i + 1)), wordsOf(tab.lines[row.i], tab.comments[row.i])];
  if (row.k === "entry") {
    const slot = sheet.output[row.i];
    return [
      cell("index right", String(row.i)), indented(row, opOf(sheet, row.i)), cell("call", callOf(sheet, row.i)),
      cell("slot", `\u2192 %${slot}`), cell("shape", shapeOf(sheet, slot)), ...numbersOf(row, slot),
      cell("place", shortPlace(sheet, sheet.line[row.i])),
    ];
  }
  if (row.k === "leaf") {
    const [slot, name, kind] = sheet.leaves[row.i];
    return [
      cell("index", ""), indented(row, kind), cell("call", name), cell("slot", `%${slot}`), cell("shape", shapeOf(sheet, slot)),
      ...numbersOf(row, slot), cell("place", ""),
    ];
  }
  const [slot, outcome, place] = sheet.guards[row.i];
  return [
    cell("index", ""), indented(row, "guard"), cell("call", `${nameOf(sheet, slot)} is ${outcome}`), cell("slot", ""), cell("shape", ""),
    ...numbersOf(row, -1).map(() => cell("", "")), cell("place", shortPlace(sheet, place)),
  ];
}

function wordsOf(text, isComment) {
  const words = el("span", { class: "words", role: "gridcell" });
  words.append(isComment ? el("span", { class: "comment" }, text) : text);
  return words;
}

function groupOf(row) {
  const indent = el("span", { role: "gridcell" }), sheet = row.s;
  indent.style.paddingLeft = `calc(${Math.max(String(tab.sheet.output.length).length, 5) + 1}ch + 20px + ${2 * row.d}ch)`;
  indent.append(el("span", { class: "twist" }, isOpen(row) ? "\u25be" : "\u25b8"));
  const few = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
  if (row.k === "loop") {
    indent.append(el("b", {}, `loop, ${few(row.turns, "iteration")}`), ` of ${row.size === 1 ? "1 entry" : `${row.size.toLocaleString("en")} entries`}${linesOf(sheet, row.i, row.i + row.size)}`);
  } else if (row.k === "turn") {
    indent.append(`iteration ${(row.t + 1).toLocaleString("en")} of ${row.turns.toLocaleString("en")}`);
  } else {
    const stage = sheet.stages[row.i];
    indent.append(el("b", {}, `stage ${row.i + 1}`), `  ${stage.title}`);
  }
  return [indent];
}

function linesOf(sheet, from, to) {
  const found = new Map();
  for (let i = from; i < Math.min(to, from + 500); i++) {
    if (sheet.line[i] < 0) continue;
    const [file, line] = sheet.places[sheet.line[i]], known = found.get(file) || [line, line];
    found.set(file, [Math.min(known[0], line), Math.max(known[1], line)]);
  }
  const texts = [...found].map(([file, [a, b]]) => `${content.files[file].name}:${a}${a === b ? "" : `\u2013${b}`}`);
  return texts.length ? `, ${texts.join(", ")}` : "";
}

function placeOf(row) { // the line of the user's code, as "file:line"
  if (!row || row.k === "leaf" || row.k === "stage") return null;
  if (row.k === "text") {
    const found = /([^\s"'`(]+):(\d+)/.exec(tab.lines[row.i]);
    return found && fileNumbers.has(found[1]) ? `${fileNumbers.get(found[1])}:${found[2]}` : null;
  }
  if (row.k === "guard") return keyOfPlace(row.s, row.s.guards[row.i][2]);
  return row.k === "entry" ? keyOfPlace(row.s, row.s.line[row.i]) : null;
}

function stageOf(sheet, i) {
  return sheet.stages.find((stage) => stage.from <= i && i < stage.to);
}

function isCause(row) {
  const { finding, sheets } = content;
  return Boolean(finding && finding.slot !== null && row.s === sheets[0] &&
    ((row.k === "entry" && row.s.output[row.i] === finding.slot) || (row.k === "leaf" && row.s.leaves[row.i][0] === finding.slot)));
}

function classesOf(row) {
  const found = ["row", row.k], key = keyOf(row);
  if (row.k === "loop" || row.k === "turn" || row.k === "stage") found.push("group");
  if (isCause(row)) found.push("bad");
  if (key === chosen) found.push("chosen");
  if (matched.has(key)) found.push("match");
  if (reads.has(key)) found.push("reads");
  if (used.has(key)) found.push("used");
  const place = placeOf(row);
  if (lit !== null && place === lit) found.push("lit");
  const stage = row.k === "stage" ? row.s.stages[row.i] : row.k === "entry" ? stageOf(row.s, row.i) : null;
  if (stage) found.push(stage.kind);
  return found.join(" ");
}

let isDue = false;
function paintSoon() { // once for each frame
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { isDue = false; paint(); });
}

function paint() {
  const first = Math.max(Math.floor(view.scrollTop / ROW) - BESIDE, 0);
  const last = Math.min(Math.ceil((view.scrollTop + view.clientHeight) / ROW) + BESIDE, rows.length);
  const made = [];
  for (let i = first; i < last; i++) {
    const row = rows[i], isGroup = row.k === "loop" || row.k === "turn" || row.k === "stage";
    const line = el("div", {
      class: classesOf(row), role: "row", id: `row-${i}`, "aria-rowindex": i + 2,
      "aria-selected": keyOf(row) === chosen ? "true" : "false", "aria-expanded": isFoldable(row) ? String(isOpen(row)) : null,
    }, ...(isGroup ? groupOf(row) : cellsOf(row)));
    line.style.top = `${i * ROW}px`;
    made.push(line);
  }
  body.replaceChildren(...made);
  const at = position(chosen);
  if (at >= first && at < last) view.setAttribute("aria-activedescendant", `row-${at}`);
  else view.removeAttribute("aria-activedescendant");
}

// The code -----------------------------------------------------------------------------------------------------

const codeLines = new Map(), codeBox = byId("lines");

function writeCode() {
  content.files.forEach((file, f) => {
    const list = el("ol", {});
    for (const [no, pieces] of file.lines) {
      if (no === 0) { list.append(el("li", { class: "gap", "aria-hidden": "true" }, "\u22ef")); continue; }
      const count = el("span", { class: "count" }), key = `${f}:${no}`;
      const text = el("span", { class: "text" }, ...pieces.map(([kind, words]) => (kind ? el("span", { class: kind }, words) : words)));
      const item = el("li", { class: "code", role: "option", id: `code-${f}-${no}`, "data-key": key, "aria-selected": "false" },
        el("span", { class: "no" }, String(no)), count, text);
      list.append(item);
      codeLines.set(key, { item, count });
    }
    codeBox.append(el("h3", {}, file.name), list);
  });
  if (!content.files.length) codeBox.append(el("p", { class: "gap" }, "These entries name no lines."));
}

function countCode() {
  const index = tab.sheet ? lineIndex(tab.sheet) : lineIndex(content.sheets[0]);
  for (const [key, { item, count }] of codeLines) {
    const n = (index.get(key) || []).length / 2;
    item.classList.toggle("linked", n > 0);
    count.textContent = n >= 10000 ? `${Math.round(n / 1000)}k\u00d7` : n ? `${n}\u00d7` : "";
    count.title = n ? `${n.toLocaleString("en")} ${n === 1 ? "entry" : "entries"}` : "";
  }
}

function light(key) { // a line, and the entries that come of it
  if (key === lit) return;
  if (codeLines.has(lit)) codeLines.get(lit).item.classList.remove("lit");
  lit = key;
  if (codeLines.has(lit)) codeLines.get(lit).item.classList.add("lit");
  for (const line of body.children) {
    const row = rows[Number(line.id.slice(4))];
    line.classList.toggle("lit", row !== undefined && lit !== null && placeOf(row) === lit);
  }
}

let chosenLine = null;
function chooseLine(key, isScrolled) {
  if (codeLines.has(chosenLine)) {
    codeLines.get(chosenLine).item.classList.remove("chosen");
    codeLines.get(chosenLine).item.setAttribute("aria-selected", "false");
  }
  chosenLine = key;
  if (!codeLines.has(key)) { codeBox.removeAttribute("aria-activedescendant"); return; }
  const { item } = codeLines.get(key);
  item.classList.add("chosen");
  item.setAttribute("aria-selected", "true");
  codeBox.setAttribute("aria-activedescendant", item.id);
  if (isScrolled) item.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function followLine(key, step = 1) { // to the entries of a line, one after the other
  if (!tab.sheet) {
    const at = tab.lines.findIndex((_, i) => placeOf({ k: "text", i }) === key);
    if (at >= 0) go({ k: "text", i: at });
    return;
  }
  const found = lineIndex(tab.sheet).get(key);
  if (!found) return;
  let next = 0;
  for (let j = 0; j < found.length; j += 2) {
    if (keyOf({ k: "entry", s: found[j], i: found[j + 1] }) === chosen) next = (j + 2 * step + found.length) % found.length;
  }
  go({ k: "entry", s: found[next], i: found[next + 1] });
}

// Choosing -----------------------------------------------------------------------------------------------------

function position(key) {
  return key === null ? -1 : rows.findIndex((row) => keyOf(row) === key);
}

function reveal(row) { // unfold whatever hides it
  if (row.k !== "entry" && row.k !== "guard" && row.k !== "leaf") return;
  const openAround = (sheet, i) => {
    for (const [start, size, turns] of sheet.loops) {
      if (start > i) break;
      const end = start + size * turns;
      if (i < end) {
        const a = start + size * Math.floor((i - start) / size);
        tab.unfolded.set(keyOf({ k: "loop", s: sheet, i: start, to: end }), true);
        tab.unfolded.set(keyOf({ k: "turn", s: sheet, i: a, to: a + size }), true);
      }
    }
    sheet.stages.forEach((stage, k) => {
      if (stage.from <= i && i < stage.to) tab.unfolded.set(keyOf({ k: "stage", s: sheet, i: k }), true);
    });
  };
  const search = (sheet) => {
    if (sheet === row.s) return true;
    for (const [i, inner] of Object.entries(sheet.bodies)) {
      if (search(inner)) {
        openAround(sheet, Number(i));
        tab.unfolded.set(keyOf({ k: "entry", s: sheet, i: Number(i) }), true);
        return true;
      }
    }
    return false;
  };
  search(tab.sheet);
  if (row.k === "entry") openAround(row.s, row.i);
}

function go(row, isBack) {
  if (position(keyOf(row)) < 0) { reveal(row); rebuild(); }
  const at = position(keyOf(row));
  if (at < 0) return;
  if (!isBack && chosen !== null && chosen !== keyOf(row)) trail.push([tab, rows[position(chosen)]]);
  choose(at);
}

function choose(at) {
  if (at < 0 || at >= rows.length) return;
  const row = rows[at];
  chosen = keyOf(row);
  reads = new Set();
  used = new Set();
  if (row.s && (row.k === "entry" || row.k === "leaf")) {
    const slot = row.k === "entry" ? row.s.output[row.i] : row.s.leaves[row.i][0];
    if (row.k === "entry") row.s.inputs[row.i].forEach((one) => reads.add(keyOf(rowOfSlot(row.s, one))));
    readersOf(row.s, slot).slice(0, 2000).forEach((i) => used.add(keyOf({ k: "entry", s: row.s, i })));
  }
  detail(row); // which takes room
  const top = at * ROW, height = view.clientHeight - 29;
  if (top < view.scrollTop) view.scrollTop = top;
  else if (top + ROW > view.scrollTop + height) view.scrollTop = top + ROW - height;
  chooseLine(placeOf(row), true);
  paint();
}

function rowOfSlot(sheet, slot) {
  if (sheet.writer.has(slot)) return { k: "entry", s: sheet, i: sheet.writer.get(slot) };
  const i = sheet.leaves.findIndex((leaf) => leaf[0] === slot);
  return i < 0 || sheet.leaves[i][2] === "constant" ? null : { k: "leaf", s: sheet, i };
}

// Details ------------------------------------------------------------------------------------------------------

const details = byId("details");

function closeDetails() {
  details.hidden = true;
  chosen = null;
  reads = new Set();
  used = new Set();
  chooseLine(null);
  paint();
}

function linkTo(row, text) {
  return row === null ? el("span", {}, text) : el("button", { type: "button", onclick: () => { go(row); view.focus(); } }, text);
}

function detail(row) {
  const sheet = row.s;
  if (!sheet || (row.k !== "entry" && row.k !== "leaf")) { details.hidden = true; return; }
  const isEntry = row.k === "entry", slot = isEntry ? sheet.output[row.i] : sheet.leaves[row.i][0];
  const list = el("dl", {}), add = (term, ...words) => list.append(el("dt", {}, term), el("dd", {}, ...words));
  const spread = (numbers) => {
    const more = numbers.more[slot], text = valueOf(numbers, slot);
    return more ? more.flatMap((line, i) => (i ? [el("br"), line] : [line])) : [text];
  };
  add("shape", shapeOf(sheet, slot));
  if (sheet.value) add("value", ...spread(sheet.value));
  if (sheet.adjoint) add("adjoint", ...(valueOf(sheet.adjoint, slot) ? spread(sheet.adjoint) : ["none: the result does not depend on it differentiably"]));
  if (isEntry) {
    const stage = stageOf(sheet, row.i), place = textOfPlace(sheet, sheet.line[row.i]);
    if (stage) add("stage", `${sheet.stages.indexOf(stage) + 1}: ${stage.title}`);
    if (place) {
      const code = codeLines.get(keyOfPlace(sheet, sheet.line[row.i]));
      add("line", `${place}  ${code ? code.item.querySelector(".text").textContent.trim() : ""}`);
    }
    if (sheet.bodies[row.i]) add("step", sheet.bodies[row.i].title);
    add("reads", ...sheet.inputs[row.i].map((one) => {
      const value = valueOf(sheet.value, one), name = nameOf(sheet, one);
      const target = rowOfSlot(sheet, one);
      return linkTo(target, target && value ? `${name} = ${value}` : value || name);
    }));
  }
  const readers = readersOf(sheet, slot), words = readers.slice(0, 24).map((i) =>
    linkTo({ k: "entry", s: sheet, i }, `%${sheet.output[i]} = ${opOf(sheet, i)}`));
  if (readers.length > 24) words.push(`and ${(readers.length - 24).toLocaleString("en")} more`);
  if (sheet.results.includes(slot)) words.push("it is a result");
  (sheet.guarded.get(slot) || []).forEach((g) => words.push(`a guard: it is ${sheet.guards[g][1]}`));
  add("read by", ...(words.length ? words : ["nothing"]));
  const title = isEntry ? `%${slot} = ${opOf(sheet, row.i)}(${callOf(sheet, row.i)})` : `${nameOf(sheet, slot)}, ${sheet.leaves[row.i][2]} in slot %${slot}`;
  details.replaceChildren(
    el("button", { class: "close", type: "button", "aria-label": "Close the details", onclick: () => { closeDetails(); view.focus(); } }, "\u00d7"),
    el("h3", {}, title), list);
  details.hidden = false;
}

// Search -------------------------------------------------------------------------------------------------------

function textsOf(sheet) { // of each entry, all that can be looked for
  if (!sheet.texts) {
    sheet.texts = sheet.output.map((slot, i) =>
      `[${i}] ${opOf(sheet, i)} ${callOf(sheet, i)} %${slot} ${shapeOf(sheet, slot)} ${valueOf(sheet.value, slot)} ${valueOf(sheet.adjoint, slot)} ${textOfPlace(sheet, sheet.line[i])}`.toLowerCase());
  }
  return sheet.texts;
}

function lookFor(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  // A slot is a whole word: %1 is not %12.
  const tests = words.map((word) => (/^%\d+$/.test(word)
    ? ((pattern) => (line) => pattern.test(line))(new RegExp(`${word}(?!\\d)`)) : (line) => line.includes(word)));
  matches = [];
  match = -1;
  const fits = (line) => tests.every((test) => test(line));
  const search = (sheet) => {
    sheet.leaves.forEach(([slot, name, kind], i) => {
      if (kind !== "constant" && fits(`${kind} ${name} %${slot} ${shapeOf(sheet, slot)} ${valueOf(sheet.value, slot)}`.toLowerCase())) matches.push({ k: "leaf", s: sheet, i });
    });
    textsOf(sheet).forEach((line, i) => { if (fits(line)) matches.push({ k: "entry", s: sheet, i }); });
    Object.values(sheet.bodies).forEach(search);
  };
  const searchCode = (sheet) => { // what the lines of code say, where no entry says it
    const lines = sheet.places.map((_, i) => codeLines.get(keyOfPlace(sheet, i)));
    const fitting = lines.map((line) => line !== undefined && fits(line.item.querySelector(".text").textContent.toLowerCase()));
    sheet.line.forEach((place, i) => { if (place >= 0 && fitting[place]) matches.push({ k: "entry", s: sheet, i }); });
    Object.values(sheet.bodies).forEach(searchCode);
  };
  if (words.length && tab.sheet) {
    search(tab.sheet);
    if (!matches.length) searchCode(tab.sheet);
  }
  else if (words.length) tab.lines.forEach((line, i) => { if (fits(line.toLowerCase())) matches.push({ k: "text", i }); });
  matched = new Set(matches.map(keyOf));
  byId("next").disabled = byId("previous").disabled = !matches.length;
  say(words.length);
  paint();
}

function say(isAsked) {
  const n = matches.length.toLocaleString("en");
  byId("found").textContent = !isAsked ? "" : !matches.length ? "no match" : match < 0 ? `${n} found` : `${(match + 1).toLocaleString("en")} of ${n}`;
}

function turn(step) {
  if (!matches.length) return;
  match = match < 0 ? (step > 0 ? 0 : matches.length - 1) : (match + step + matches.length) % matches.length;
  go(matches[match]);
  say(true);
}

// What the reader does -----------------------------------------------------------------------------------------

function enter(which) {
  tab.top = view.scrollTop;
  tab = which;
  chosen = null;
  reads = new Set();
  used = new Set();
  details.hidden = true;
  chooseLine(null);
  for (const [i, button] of [...byId("tabs").children].entries()) {
    button.setAttribute("aria-selected", String(tabs[i] === tab));
    button.tabIndex = tabs[i] === tab ? 0 : -1;
  }
  const note = byId("note"), sheet = tab.sheet;
  note.replaceChildren(...(sheet && sheet.stages.length ? legend(sheet) : []), ...(tab.note ? [`${tab.note} `] : []));
  if (sheet) note.append(sheet.header.replace(/^tape /, "").replace(/ {2,}/g, ":  "));
  columns();
  rebuild();
  countCode();
  lookFor(byId("search").value);
  view.scrollTop = tab.top;
  byId("tape").setAttribute("aria-labelledby", `tab-${tabs.indexOf(tab)}`);
  paint();
}

function legend(sheet) {
  const words = { whole: "whole arrays and numbers", rows: "row by row, in blocks", interpreted: "entry by entry" };
  return Object.entries(words).filter(([kind]) => sheet.stages.some((stage) => stage.kind === kind)).map(([kind, text]) => {
    const swatch = el("i", {});
    swatch.style.background = `var(--${kind})`;
    return el("span", { class: "key" }, swatch, text);
  });
}

function rowAt(event) {
  const line = event.target.closest("#view .row");
  return line ? Number(line.id.slice(4)) : -1;
}

view.addEventListener("scroll", paintSoon);
view.addEventListener("mouseover", (event) => { const at = rowAt(event); if (at >= 0) light(placeOf(rows[at])); });
view.addEventListener("mouseleave", () => light(null));
view.addEventListener("click", (event) => {
  const at = rowAt(event), row = rows[at];
  if (at < 0) return;
  choose(at);
  if (isFoldable(row) && (row.k !== "entry" || event.target.closest(".twist"))) fold(row, !isOpen(row));
});
view.addEventListener("keydown", (event) => {
  const at = position(chosen), page = Math.max(Math.floor(view.clientHeight / ROW) - 3, 1), row = rows[at];
  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in moves) {
    const from = at < 0 ? Math.floor(view.scrollTop / ROW) - (moves[event.key] === 1 ? 1 : 0) : at;
    choose(Math.min(Math.max(from + moves[event.key], 0), rows.length - 1));
  } else if (event.key === "ArrowRight" && row && isFoldable(row) && !isOpen(row)) fold(row, true);
  else if (event.key === "ArrowLeft" && row) {
    if (isFoldable(row) && isOpen(row)) fold(row, false);
    else for (let i = at - 1; i >= 0; i--) if (rows[i].d < row.d && isFoldable(rows[i])) { choose(i); break; }
  } else if (event.key === "Enter" && row && row.k === "entry") {
    const target = row.s.inputs[row.i].map((slot) => rowOfSlot(row.s, slot)).find((one) => one !== null);
    if (target) go(target);
  } else if (event.key === "Enter" && row && isFoldable(row)) fold(row, !isOpen(row));
  else if (event.key === "Backspace" && trail.length) {
    const [from, back] = trail.pop();
    if (from !== tab) enter(from);
    go(back, true);
  } else return;
  event.preventDefault();
});

codeBox.addEventListener("mouseover", (event) => { const line = event.target.closest(".code"); light(line ? line.dataset.key : null); });
codeBox.addEventListener("mouseleave", () => light(null));
codeBox.addEventListener("click", (event) => { const line = event.target.closest(".code"); if (line) followLine(line.dataset.key); });
codeBox.addEventListener("keydown", (event) => {
  const linked = [...codeLines].filter(([, { item }]) => item.classList.contains("linked")).map(([key]) => key);
  const at = linked.indexOf(chosenLine);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const next = linked[Math.min(Math.max(at + (event.key === "ArrowDown" ? 1 : -1), 0), linked.length - 1)];
    if (next) { chooseLine(next, true); light(next); }
  } else if (event.key === "Enter" && chosenLine) followLine(chosenLine, event.shiftKey ? -1 : 1);
  else return;
  event.preventDefault();
});

let waiting = 0;
byId("search").addEventListener("input", (event) => { clearTimeout(waiting); waiting = setTimeout(() => lookFor(event.target.value), 120); });
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    clearTimeout(waiting);
    if (match < 0) lookFor(event.target.value);
    turn(event.shiftKey ? -1 : 1);
    event.preventDefault();
  } else if (event.key === "Escape") { event.target.value = ""; lookFor(""); view.focus(); }
});
byId("next").addEventListener("click", () => turn(1));
byId("previous").addEventListener("click", () => turn(-1));
byId("fold").addEventListener("click", () => {
  const open = byId("fold").textContent === "Unfold all", all = (sheet) => {
    for (const [start, size, turns] of sheet.loops) {
      tab.unfolded.set(keyOf({ k: "loop", s: sheet, i: start, to: start + size * turns }), open);
      for (let a = start; a < start + size * turns; a += size) tab.unfolded.set(keyOf({ k: "turn", s: sheet, i: a, to: a + size }), open);
    }
    for (const [i, inner] of Object.entries(sheet.bodies)) {
      tab.unfolded.set(keyOf({ k: "entry", s: sheet, i: Number(i) }), open);
      all(inner);
    }
  };
  all(tab.sheet);
  rebuild();
  if (!tab.sheet.loops.length) byId("fold").textContent = open ? "Fold all" : "Unfold all";
});
byId("help").addEventListener("click", () => {
  const keys = byId("keys");
  keys.hidden = !keys.hidden;
  byId("help").setAttribute("aria-expanded", String(!keys.hidden));
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { byId("search").focus(); byId("search").select(); event.preventDefault(); }
  else if (event.key === "n") turn(1);
  else if (event.key === "N") turn(-1);
  else if (event.key === "Escape" && !details.hidden) { closeDetails(); view.focus(); }
});
new ResizeObserver(paintSoon).observe(view);

// Light and dark: as the system has it, until the reader says otherwise.
const dark = matchMedia("(prefers-color-scheme: dark)");
function paintTheme(theme) { document.documentElement.dataset.theme = theme || (dark.matches ? "dark" : "light"); }
function storedTheme() { try { return localStorage.getItem("tapegrad-theme"); } catch { return null; } }
paintTheme(storedTheme());
dark.addEventListener("change", () => { if (!storedTheme()) paintTheme(); });
byId("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("tapegrad-theme", theme); } catch { /* a page within a notebook keeps nothing */ }
  paintTheme(theme);
});

// The beginning ------------------------------------------------------------------------------------------------

byId("name").textContent = content.name;
byId("keys").append(el("dl", {}, ...KEYS.flatMap(([keys, words]) => [el("dt", {}, keys), el("dd", {}, words)])));
tabs.forEach((one, i) => byId("tabs").append(el("button", {
  type: "button", role: "tab", id: `tab-${i}`, "aria-controls": "tape", onclick: () => enter(one),
}, one.title)));
byId("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const next = (tabs.indexOf(tab) + step + tabs.length) % tabs.length;
  enter(tabs[next]);
  byId("tabs").children[next].focus();
  event.preventDefault();
});
writeCode();
if (content.finding || content.notes.length) {
  const box = byId("finding"), finding = content.finding;
  box.hidden = false;
  if (finding && finding.bad) box.classList.add("bad");
  if (finding && finding.bad && finding.slot !== null) {
    const target = rowOfSlot(content.sheets[0], finding.slot);
    if (target) {
      box.append(el("button", { type: "button", id: "cause", onclick: () => { if (tab !== tabs[0]) enter(tabs[0]); go(target); view.focus(); } }, "Show the cause"));
      if (target.k === "entry") {
        const key = keyOfPlace(target.s, target.s.line[target.i]);
        if (codeLines.has(key)) codeLines.get(key).item.classList.add("bad");
      }
    }
  }
  if (finding) box.append(el("pre", {}, finding.text));
  content.notes.forEach((note) => box.append(el("div", {}, note)));
}
for (const one of tabs) { // code begins where the user's lines do
  if (!one.lines) continue;
  tab = one;
  one.top = Math.max(one.lines.findIndex((_, i) => placeOf({ k: "text", i }) !== null) - 4, 0) * ROW;
}
tab = tabs[0];
enter(tabs[0]);
