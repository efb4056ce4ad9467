// The page of tamis view. Its state is the fragment of its address, so that what is seen can be linked to. Whatever
// comes from documents becomes text nodes and nothing else.

const FILTERS = ["find", "text", "decision", "reason", "source", "language", "host", "sort", "direction"];
const DECISIONS = { keep: "Kept", drop: "Dropped", review: "In review" };
const ROWS = 50;
const CLIPPED = 300; // characters of a name in the list

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const count = (value, noun) => `${number.format(value)} ${noun}${value === 1 ? "" : "s"}`;
const clip = (text) => (text.length > CLIPPED ? `${text.slice(0, CLIPPED)}…` : text);

// --- elements ---------------------------------------------------------------------------------------------------------

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// A name or a value of a document: isolated, so that its direction does not turn what is around it.
const isolated = (text) => element("bdi", {}, ...letters(text));

const options = (values) => values.map((value) => element("option", { value }, value));

// Controls, and characters that only act on direction or take no room, as their code points; equal ones together.
const UNSEEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb])\1*/g;

function letters(text) {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (found.index > end) nodes.push(document.createTextNode(text.slice(end, found.index)));
    const code = `U+${found[1].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    const times = found[0].length > 1 ? ` × ${number.format(found[0].length)}` : "";
    nodes.push(element("span", { class: "letter" }, code + times));
    end = found.index + found[0].length;
  }
  if (end < text.length) nodes.push(document.createTextNode(text.slice(end)));
  return nodes;
}

// --- the server -------------------------------------------------------------------------------------------------------

async function ask(name, parameters = [], options = {}) {
  const answer = await fetch(`/api/${name}?${new URLSearchParams(parameters)}`, options);
  const kind = answer.headers.get("content-type") ?? "";
  const value = kind.startsWith("application/json") ? await answer.json() : { error: await answer.text() };
  if (!answer.ok) throw new Error(value.error);
  return value;
}

async function guarded(work) {
  try {
    $("failure").hidden = true;
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    const lost = error instanceof TypeError ? "The server does not answer: tamis view has ended." : error.message;
    $("failure").textContent = lost;
    $("failure").hidden = false;
  }
}

const say = (text) => { $("said").textContent = text; };

// --- state ------------------------------------------------------------------------------------------------------------

let state = new URLSearchParams();
let listed = ""; // the state that the list shows
let opened = ""; // the place of the document that is shown
let rows = [];
let current = null; // the document that is shown
let release = null;
let searching = null;

const place = (row) => `${row.part}-${row.row}`;
const filters = () => FILTERS.filter((name) => name !== "text" && state.get(name)).map((name) => [name, state.get(name)]);
const ranges = () => state.getAll("range").map((range) => ["range", range]);

function change(changes) {
  const next = new URLSearchParams(state);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const each of Array.isArray(value) ? value : [value]) if (each) next.append(name, each);
  }
  if (next.toString() !== state.toString()) location.hash = next.toString();
}

const filter = (changes) => change({ first: "", start: "", ...changes });

function show() {
  state = new URLSearchParams(location.hash.slice(1));
  const tab = state.get("tab") ?? "documents";
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== tab;
  for (const button of document.querySelectorAll("nav button")) {
    if (button.dataset.tab === tab) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  for (const name of FILTERS) {
    const field = $("filters").elements[name];
    if (field !== document.activeElement || field.tagName === "SELECT") field.value = state.get(name) ?? "";
  }
  showRanges();
  document.body.classList.toggle("reading", state.has("doc"));
  if (tab === "marks") guarded(showMarks);
  if (tab === "what-if") guarded(showWhatIf);
  const wanted = JSON.stringify([filters(), ranges(), state.get("text"), state.get("first"), state.get("start")]);
  if (wanted !== listed) {
    listed = wanted;
    guarded(showList);
  }
  const doc = state.get("doc") ?? "";
  if (doc !== opened) {
    opened = doc;
    guarded(() => showDocument(doc));
  }
  markCurrent();
}

// --- the list ---------------------------------------------------------------------------------------------------------

async function showList() {
  searching?.abort();
  searching = new AbortController();
  const { signal } = searching;
  guarded(() => showCounts(signal));
  if (state.get("text")) return search(signal);
  const first = Number(state.get("first") ?? 0);
  const answer = await ask("documents", [...filters(), ...ranges(), ["first", first], ["count", ROWS]], { signal });
  rows = answer.rows;
  showRows(first);
  $("before").disabled = first === 0;
  $("after").disabled = rows.length < ROWS;
  $("stop").hidden = true;
}

async function showCounts(signal) {
  $("count").textContent = "Counting…";
  const counts = await ask("counts", [...filters(), ...ranges()], { signal });
  const total = counts.reduce((sum, row) => sum + row.documents, 0);
  if (!state.get("text")) $("count").textContent = count(total, "document");
  const chosen = state.get("decision") && (state.get("reason") || state.get("decision") === "keep");
  const buttons = counts.map((row) =>
    element("li", {}, element("button", {
      type: "button",
      "aria-pressed": chosen && counts.length === 1 ? "true" : null,
      onclick: () => filter({ decision: row.decision, reason: row.reason ?? "" }),
    }, element("span", { class: row.decision }, DECISIONS[row.decision]), row.reason ? " " : "", isolated(row.reason ?? ""), ` ${number.format(row.documents)}`)));
  $("reasons").replaceChildren(...buttons);
  $("reasons").hidden = state.has("text"); // they count what matches the other filters
}

// Texts are searched a few megabytes at a time, until a page is full, or the end, or Stop.
async function search(signal) {
  const first = state.get("start") ?? "0";
  let start = first;
  let searched = 0;
  let candidates = null;
  rows = [];
  showRows(0);
  $("before").disabled = first === "0";
  $("after").disabled = true;
  $("stop").hidden = false;
  while (start !== null && rows.length < ROWS && !signal.aborted) {
    const parameters = [...filters(), ...ranges(), ["passage", state.get("text")], ["start", start], ["count", ROWS - rows.length]];
    const answer = await ask("search", parameters, { signal });
    candidates ??= answer.candidates;
    searched += answer.searched;
    start = answer.next;
    rows = rows.concat(answer.rows);
    showRows(0);
    $("count").textContent = `${count(rows.length, "document")} found in ${number.format(searched)} of ${number.format(candidates)} texts`;
  }
  $("stop").hidden = true;
  $("after").disabled = start === null;
  $("after").dataset.start = start ?? "";
}

function showRows(first) {
  const items = rows.map((row) => element("li", {}, rowLink(row)));
  $("rows").replaceChildren(...items);
  $("rows").setAttribute("start", first + 1);
  if (!rows.length && !state.get("text")) $("rows").append(element("li", { class: "empty" }, element("p", {}, "No document matches all filters.")));
  markCurrent();
}

function rowLink(row) {
  const value = state.get("sort") && row.value !== undefined && state.get("sort") !== "tokens" ? `${state.get("sort")} ${row.value === null ? "missing" : Number(row.value.toPrecision(6))}` : "";
  const about = [value, row.source, row.language, count(row.tokens ?? 0, "token")].filter(Boolean).join(" · ");
  return element("a", { href: "#", "data-doc": place(row), onclick: (event) => { event.preventDefault(); open(row, true); } },
    row.mark ? element("span", { class: `mark ${row.mark}` }, row.mark === "right" ? "✓ right" : "✗ wrong") : null,
    element("span", { class: "name" }, isolated(clip(row.url || row.id))),
    element("span", { class: "line" }, element("span", { class: row.decision }, DECISIONS[row.decision]), row.reason ? ": " : "", isolated(clip(row.reason ?? "")), row.detail ? ", " : "", isolated(clip(row.detail ?? ""))),
    element("span", { class: "line" }, isolated(about)));
}

function markCurrent() {
  for (const link of $("rows").querySelectorAll("a")) {
    if (link.dataset.doc === opened) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function showRanges() {
  const items = state.getAll("range").map((range) => {
    const [low, high] = range.split(":").slice(-2);
    const name = range.split(":").slice(0, -2).join(":");
    const said = `${name} ${low ? `from ${low}` : ""}${low && high ? " " : ""}${high ? `to ${high}` : ""}`;
    const rest = state.getAll("range").filter((each) => each !== range);
    return element("li", {}, element("button", { type: "button", "aria-label": `Remove the range ${said}`, onclick: () => filter({ range: rest }) }, isolated(said), " ×"));
  });
  $("ranges").replaceChildren(...items);
}

// --- a document -------------------------------------------------------------------------------------------------------

let intoDocument = false;

function open(row, move) {
  intoDocument = move;
  if (place(row) === opened) return move && $("document").querySelector("h2")?.focus();
  change({ doc: place(row) });
}

async function showDocument(doc) {
  if (!doc) {
    current = null;
    $("document").replaceChildren(element("p", { class: "empty" }, "Choose a document to read it, and why it was kept or dropped."));
    return;
  }
  const [part, row] = doc.split("-");
  const answer = await ask("document", { part, row });
  if (doc !== opened) return; // another was chosen meanwhile
  current = answer;
  $("document").replaceChildren(...documentParts(answer));
  $("document").scrollTop = 0;
  const heading = $("document").querySelector("h2");
  if (intoDocument || document.body.classList.contains("reading") && innerWidth <= 720) heading.focus({ preventScroll: true });
  intoDocument = false;
}

function documentParts(it) {
  const facts = [it.source, it.signals["language.label"], it.licence, it.date, count(it.tokens, "token"), it.quality === null ? "" : `quality ${it.quality.toFixed(3)}`];
  return [
    element("p", { id: "back" }, element("button", { type: "button", onclick: back }, "Back to the list")),
    element("h2", { tabindex: "-1" }, isolated(it.id)),
    it.url && it.url !== it.id ? element("p", { class: "address mono" }, isolated(it.url)) : null,
    element("p", { class: "soft" }, isolated(facts.filter(Boolean).join(" · "))),
    element("p", { class: "verdict" }, ...verdict(it)),
    element("div", { class: "tools", role: "group", "aria-label": "Is the decision right?" }, markButton("right"), markButton("wrong"), element("span", { class: "soft" }, "Is the decision right?")),
    ...why(it),
    element("div", { id: "beside" }),
    ...textParts(it),
    signalTable(it),
    it.metadata ? element("details", {}, element("summary", {}, "Metadata"), element("div", { class: "text mono" }, ...letters(it.metadata))) : null,
  ].filter(Boolean);
}

function verdict(it) {
  const said = element("span", { class: it.decision }, DECISIONS[it.decision]);
  if (!it.reason) return [said, it.copies > 1 ? `, and stands for ${count(it.copies, "copy").replace("copys", "copies")}, itself included` : ""];
  return [said, " because of ", element("b", {}, isolated(it.reason)), it.detail ? ": " : "", isolated(it.detail ?? "")];
}

function why(it) {
  const items = it.failed.map((rule) => {
    const section = it.thresholds[rule.signal].section;
    const passes = rule.passes ? `It would pass with ${rule.passes[0]} ${[].concat(rule.passes[1]).join(", ")}.` : "";
    return element("li", {}, element("b", {}, isolated(rule.signal)), ": ", isolated(rule.detail), section === "thresholds" ? "" : isolated(` (${section})`), ". ",
      rule.signal === it.reason ? "This decided. " : "It fails this, too. ", isolated(passes));
  });
  if (it.representative) {
    const open = it.representative_place && { part: it.representative_place[0], row: it.representative_place[1] };
    items.push(element("li", {}, "Kept in its place: ", element("b", {}, isolated(it.representative)), it.jaccard === null ? "" : `, Jaccard ${it.jaccard.toFixed(4)}`,
      open ? element("button", { type: "button", onclick: () => guarded(compare) }, "Side by side") : null,
      open ? element("button", { type: "button", onclick: () => change({ doc: place(open) }) }, "Open it") : null));
  }
  for (const other of it.represented) {
    items.push(element("li", {}, "Stands for ", isolated(other.id), ` (${other.reason})`,
      element("button", { type: "button", onclick: () => change({ doc: place(other) }) }, "Open it")));
  }
  it.contamination.forEach((match, index) => {
    const action = match.action === "none" ? "near miss" : match.action;
    items.push(element("li", {}, "Benchmark item ", element("b", {}, isolated(`${match.benchmark} ${match.item}`)), isolated(` (${match.part}): ${match.class}, ${action}, ${match.metric} ${match.score.toFixed(4)}`),
      element("button", { type: "button", onclick: () => guarded(() => compareItem(index)) }, "Side by side")));
  });
  for (const [reason, characters] of sums(it.cuts)) {
    items.push(element("li", {}, `${count(characters, "character")} cut because of `, element("b", {}, isolated(reason))));
  }
  if (!it.failed.length) items.unshift(element("li", {}, Object.keys(it.thresholds).length ? "It passes all limits of the recipe." : "The recipe has no limits."));
  return [element("h3", {}, "Why"), element("ul", { class: "why" }, items)];
}

function sums(cuts) {
  const by = new Map();
  for (const cut of cuts) {
    const reason = cut.detail ? `${cut.reason}: ${cut.detail}` : cut.reason;
    by.set(reason, (by.get(reason) ?? 0) + cut.chars);
  }
  return by;
}

function signalTable(it) {
  const failed = new Set(it.failed.map((rule) => rule.signal));
  const lines = Object.entries(it.signals).map(([name, value]) => {
    const limits = Object.entries(it.thresholds[name] ?? {}).filter(([key]) => ["min", "max", "one_of"].includes(key));
    return element("tr", { class: failed.has(name) ? "fails" : null }, element("td", {}, isolated(name)), element("td", { class: "n" }, isolated(value)),
      element("td", {}, isolated(limits.map(([key, limit]) => `${key} ${[].concat(limit).join(", ")}`).join(", ")), failed.has(name) ? " — fails" : ""));
  });
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Signal"), element("th", { scope: "col", class: "n" }, "Value"), element("th", { scope: "col" }, "Limit")));
  return element("details", {}, element("summary", {}, count(lines.length, "signal")),
    element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Signals" }, element("table", {}, head, element("tbody", {}, lines))));
}

// --- its text ---------------------------------------------------------------------------------------------------------

const SHOWN = { end: "As it ends", changes: "Changes", read: "As it was read" };

function textParts(it) {
  const text = element("div", { class: "text", dir: "auto", "data-shown": "changes" });
  const more = element("button", { type: "button" }, "Show more");
  const add = (answer) => {
    text.append(...answer.pieces.map(piece));
    more.hidden = answer.next === null;
    more.textContent = `Show more (${number.format(answer.next ?? 0)} of ${number.format(answer.characters)} characters)`;
    more.onclick = () => guarded(async () => add(await ask("text", { part: it.part, row: it.row, first: answer.next })));
  };
  add(it.text);
  const kinds = new Set(it.text.pieces.map((each) => each.kind));
  const isChanged = kinds.size > 1 || !kinds.has("same") && kinds.size;
  const matched = it.text.pieces.some((each) => each.matched);
  const buttons = Object.entries(SHOWN).map(([name, label]) => element("button", {
    type: "button", "aria-pressed": String(name === "changes"), onclick: (event) => {
      text.dataset.shown = name;
      for (const each of event.target.parentElement.children) each.setAttribute("aria-pressed", String(each === event.target));
    } }, label));
  return [
    element("h3", {}, "Text"),
    isChanged ? element("div", { class: "tools", role: "group", "aria-label": "Which text" }, buttons) : null,
    isChanged || matched ? element("p", { class: "legend" }, changes(it.text.pieces), matched ? element("span", { class: "matched" }, "matches a benchmark item") : null) : null,
    it.text.characters ? text : element("p", { class: "empty" }, "The text is empty."),
    more,
  ].filter(Boolean);
}

const whoChanged = (each) => [each.by, each.reason].filter(Boolean).join(": ");

// What was removed, inserted and cut, by whom, and in how many places.
function changes(pieces) {
  const places = new Map();
  for (const each of pieces.filter((each) => each.kind !== "same")) {
    const key = JSON.stringify([each.kind, whoChanged(each)]);
    places.set(key, (places.get(key) ?? 0) + 1);
  }
  return [...places].map(([key, times]) => {
    const [kind, why] = JSON.parse(key);
    return element("span", { class: kind }, `${kind} (${why}${times > 1 ? ` × ${number.format(times)}` : ""})`);
  });
}

function piece(each) {
  const why = whoChanged(each);
  const nodes = letters(each.text);
  const inner = each.matched ? [element("mark", {}, nodes)] : nodes;
  if (each.kind === "inserted") return element("ins", { title: why }, inner);
  if (each.kind === "removed" || each.kind === "cut") return element("del", { class: each.kind, title: why }, inner);
  return each.matched ? inner[0] : element("span", {}, nodes);
}

async function compare() {
  if (!current?.representative_place) return say("No document was kept in its place.");
  showBeside("This document", await ask("representative", { part: current.part, row: current.row }));
}

const compareItem = async (index) => showBeside("This document", await ask("item", { part: current.part, row: current.row, number: index }));

function showBeside(name, answer) {
  const side = (title, pieces) => element("div", {}, element("h4", {}, isolated(title)),
    element("div", { class: "text", dir: "auto" }, pieces.map((each) => element(each.kind === "differs" ? "mark" : "span", { class: each.kind }, letters(each.text)))));
  $("beside").replaceChildren(element("h3", { tabindex: "-1" }, "Side by side"),
    element("p", { class: "legend" }, element("mark", { class: "differs" }, "differs"), answer.is_cut ? " Only the beginnings are compared." : ""),
    element("div", { class: "beside" }, side(name, answer.own), side(answer.name, answer.other)));
  $("beside").firstChild.focus();
}

// --- marks ------------------------------------------------------------------------------------------------------------

function markButton(verdict) {
  const key = verdict[0];
  return element("button", { type: "button", "data-verdict": verdict, "aria-keyshortcuts": key, "aria-pressed": String(current.mark === verdict), onclick: () => mark(verdict) }, verdict === "right" ? "✓ Right" : "✗ Wrong");
}

const mark = (verdict) => guarded(async () => {
  if (!current) return say("No document is open.");
  const it = current;
  const wanted = it.mark === verdict ? null : verdict;
  const answer = await ask("marks", [], { method: "POST", body: JSON.stringify({ part: it.part, row: it.row, verdict: wanted }) });
  it.mark = wanted;
  for (const button of $("document").querySelectorAll("[data-verdict]")) button.setAttribute("aria-pressed", String(button.dataset.verdict === wanted));
  const index = rows.findIndex((row) => place(row) === place(it));
  if (index >= 0) {
    rows[index].mark = wanted;
    const link = $("rows").children[index].firstChild;
    const fresh = rowLink(rows[index]);
    const focused = link === document.activeElement;
    link.replaceWith(fresh);
    markCurrent();
    if (focused) fresh.focus();
  }
  say(wanted ? `Marked as ${wanted}. ${count(answer.count, "mark")}.` : `No mark. ${count(answer.count, "mark")}.`);
});

async function showMarks() {
  const marks = await ask("marks");
  const labels = marks.filter((each) => each.label !== null).length;
  $("marks-about").textContent = `${count(marks.length, "mark")}, of which ${count(labels, "label")}, in ${release?.marks.path ?? ""}. ` +
    "A mark of a keep, or of a limit that dropped a document, says whether its text is good (1) or bad (0). A mark of a duplicate or a benchmark item says nothing of that.";
  $("marked").replaceChildren(...marks.map((each) => element("tr", {},
    element("td", {}, element("button", { type: "button", onclick: () => change({ tab: "", find: each.id, first: "" }) }, isolated(clip(each.id)))),
    element("td", { class: each.decision }, DECISIONS[each.decision]), element("td", {}, isolated(each.reason ?? "")),
    element("td", {}, each.verdict), element("td", {}, each.label === null ? "none" : String(each.label)))));
}

// --- what if ----------------------------------------------------------------------------------------------------------

let limits = null;
let asking = null;

async function showWhatIf() {
  limits ??= await ask("limits");
  const given = new Map(state.getAll("set").map((setting) => [setting.slice(0, setting.lastIndexOf("=")), setting.slice(setting.lastIndexOf("=") + 1)]));
  if (!$("limit-fields").children.length) $("limit-fields").replaceChildren(...limits.map(limitField));
  limits.forEach((limit, index) => {
    const moved = given.get(limit.setting);
    const group = $("limit-fields").children[index];
    group.classList.toggle("moved", moved !== undefined);
    for (const input of group.querySelectorAll("input")) if (input !== document.activeElement) input.value = moved ?? limit.value;
  });
  asking?.abort();
  asking = new AbortController();
  const answer = await ask("what-if", state.getAll("set").map((setting) => ["set", setting]), { signal: asking.signal });
  showAnswer(answer);
}

function limitField(limit) {
  const name = `${limit.signal} ${limit.side === "min" ? "at least" : "at most"}`;
  const [low, high] = [Math.min(limit.low, limit.value), Math.max(limit.high, limit.value)];
  const whole = [limit.low, limit.high, limit.value].every(Number.isInteger);
  const step = whole ? 1 : 10 ** Math.floor(Math.log10((high - low || 1) / 200));
  const field = (type, label, more) => element("input", { type, "aria-label": label, oninput: (event) => move(limit, event.target), ...more });
  return element("div", { class: "limit", role: "group", "aria-label": name },
    element("span", {}, isolated(name), limit.section === "thresholds" ? null : isolated(` (${limit.section})`)),
    element("div", {}, field("range", `${name}, slider`, { min: low, max: high, step, value: limit.value }), field("number", name, { step: "any", value: limit.value })));
}

let moving = 0;

function move(limit, input) {
  for (const other of input.closest(".limit").querySelectorAll("input")) if (other !== input) other.value = input.value;
  clearTimeout(moving);
  moving = setTimeout(() => {
    const others = state.getAll("set").filter((setting) => !setting.startsWith(`${limit.setting}=`));
    const isMoved = input.value !== "" && Number(input.value) !== limit.value;
    const next = new URLSearchParams(state);
    next.delete("set");
    for (const setting of isMoved ? [...others, `${limit.setting}=${input.value}`] : others) next.append("set", setting);
    history.replaceState(null, "", `#${next}`); // a slider that moves leaves no hundred steps to go back
    show();
  }, 80);
}

const OUTCOMES = { ...DECISIONS, passing: "Passes the limits" };

function showAnswer(answer) {
  const { newly_kept: kept, newly_dropped: dropped } = answer;
  const isMoved = state.getAll("set").length > 0;
  const waits = answer.as_they_stand.length ? ` What newly passes has not been seen by ${answer.as_they_stand.join(", ")}.` : "";
  const amount = (totals) => `${count(totals.documents, "document")} (${count(totals.tokens, "token")})`;
  const said = [
    kept.documents ? `${amount(kept)} would pass that ${kept.documents === 1 ? "does" : "do"} not now.${waits}` : "",
    dropped.documents ? `${amount(dropped)} would no longer be kept.` : "",
  ].filter(Boolean);
  $("moved").textContent = !isMoved ? "Move a limit, and see what changes." : said.join(" ") || "No document would be decided otherwise.";
  $("outcomes").replaceChildren(...answer.outcomes.map((row) => {
    const change = row.after.documents - row.before.documents;
    return element("tr", {}, element("td", {}, element("span", { class: row.decision }, OUTCOMES[row.decision]), row.reason ? ": " : "", isolated(row.reason ?? "")),
      ...[row.before.documents, row.after.documents].map((value) => element("td", { class: "n" }, number.format(value))),
      element("td", { class: "n" }, change ? `${change > 0 ? "+" : "−"}${number.format(Math.abs(change))}` : ""));
  }));
  $("command").textContent = isMoved ? `--set ${state.getAll("set").join(" --set ")}` : "";
  const side = (title, examples) => examples.length ? [element("h3", {}, title), ...examples.map(exampleButton)] : [];
  $("examples").replaceChildren(
    ...side("Would pass", answer.examples.filter((each) => each.is_newly_kept)),
    ...side("Would be dropped", answer.examples.filter((each) => !each.is_newly_kept)));
}

const exampleButton = (each) => element("button", { type: "button", onclick: () => change({ tab: "", doc: place(each) }) },
  isolated(clip(each.url || each.id)), element("small", {}, isolated(clip([each.source, each.is_newly_kept ? each.before.reason : each.after.reason, each.detail].filter(Boolean).join(", ")))),
  element("span", { class: "excerpt" }, ...letters(each.text)));

// --- what people do ---------------------------------------------------------------------------------------------------

function back() {
  const link = $("rows").querySelector("[aria-current]");
  change({ doc: "" });
  (link ?? $("rows")).focus();
}

async function step(by) {
  if (!rows.length) return;
  const at = rows.findIndex((row) => place(row) === opened);
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by;
  if (next < 0 || next >= rows.length) return say(by > 0 ? "The last document of this page." : "The first document of this page.");
  const link = $("rows").children[next].firstChild;
  link.focus();
  link.scrollIntoView({ block: "nearest" });
  open(rows[next], false);
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  r: () => mark("right"),
  w: () => mark("wrong"),
  c: () => guarded(compare),
  "/": () => $("filters").elements.find.focus(),
  "?": () => $("help").showModal(),
  Escape: () => state.has("doc") && back(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (event.ctrlKey || event.metaKey || event.altKey || typing || !KEYS[event.key]) return;
  if (event.key !== "Escape" && !$("keys-on").checked) return;
  event.preventDefault();
  KEYS[event.key]();
});

for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => change({ tab: button.dataset.tab === "documents" ? "" : button.dataset.tab }));
}
$("keys").addEventListener("click", () => $("help").showModal());
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("change", (event) => FILTERS.includes(event.target.name) && filter({ [event.target.name]: event.target.value }));
$("filters").addEventListener("reset", () => filter({ ...Object.fromEntries(FILTERS.map((name) => [name, ""])), range: [] }));
$("range-add").addEventListener("click", () => {
  const [name, low, high] = ["range-name", "range-low", "range-high"].map((id) => $(id).value);
  if (name && (low || high)) filter({ range: [...state.getAll("range"), `${name}:${low}:${high}`] });
});
$("limits").addEventListener("submit", (event) => event.preventDefault());
$("limits").addEventListener("reset", () => change({ set: "" }));
for (const name of ["language", "host"]) { // what there is, asked for when it may be needed: hosts take a second
  const field = $("filters").elements[name];
  field.addEventListener("focus", () => guarded(async () => $(`${name}s`).append(...options((await ask("values", { column: name })).map((each) => each.value)))), { once: true });
}
$("filters-toggle").addEventListener("click", () => {
  $("filters-toggle").setAttribute("aria-expanded", String($("filters").classList.toggle("open")));
});
$("before").addEventListener("click", () => (state.get("text") ? history.back() : change({ first: String(Math.max(Number(state.get("first") ?? 0) - ROWS, 0) || "") })));
$("after").addEventListener("click", () => change(state.get("text") ? { start: $("after").dataset.start } : { first: String(Number(state.get("first") ?? 0) + ROWS) }));
$("stop").addEventListener("click", () => { searching?.abort(); $("stop").hidden = true; });
$("keys-on").checked = localStorage.getItem("keys") !== "off";
$("keys-on").addEventListener("change", () => localStorage.setItem("keys", $("keys-on").checked ? "on" : "off"));
addEventListener("hashchange", show);

await guarded(async () => {
  show();
  [release] = await Promise.all([ask("release")]);
  $("release").textContent = release.name;
  document.title = `${release.name} · Tamis view`;
  const fields = $("filters").elements;
  fields.source.append(...options(release.sources));
  fields.reason.append(...options(release.reasons));
  fields.sort.append(...options(release.columns));
  $("range-name").append(...options(release.columns));
  show();
});
