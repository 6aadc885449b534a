"use strict";
// Every text of a model is set as text, never as markup.
const at = (id) => document.getElementById(id);
let models = [];
let token = "";

function tell(text, isWrong) {
  at("told").textContent = text;
  at("told").className = isWrong ? "wrong" : "";
}

function headers(more) {
  return token ? { ...more, Authorization: "Bearer " + token } : more;
}

async function load() {
  const answer = await fetch("/openapi.json", { headers: headers({}) });
  at("access").hidden = answer.status !== 401;
  if (!answer.ok) {
    tell((await answer.json()).error, token !== "");
    return;
  }
  models = (await answer.json())["x-models"];
  at("model").replaceChildren(...models.map((model, place) => new Option(model.name, String(place))));
  at("choice").hidden = models.length < 2;
  at("row").hidden = false;
  show();
}

function show() {
  const model = models[Number(at("model").value)];
  tell(model.name + ", version " + model.version, false);
  at("cells").replaceChildren(...model.columns.map(cell));
  at("answer").hidden = true;
}

function cell(column, place) {
  const line = document.createElement("div");
  const label = document.createElement("label");
  const kind = document.createElement("span");
  const missing = document.createElement("input");
  const wrapped = document.createElement("label");
  const input = field(column);
  line.className = "cell";
  input.id = "cell-" + place;
  label.htmlFor = input.id;
  label.append(column.name, " ");
  kind.className = "kind";
  kind.textContent = column.kind;
  label.append(kind);
  missing.type = "checkbox";
  missing.checked = column.example === null;
  missing.addEventListener("change", () => { input.disabled = missing.checked; });
  input.disabled = missing.checked;
  wrapped.append(missing, " missing");
  line.append(label, input, wrapped);
  return line;
}

function field(column) {
  const example = column.example;
  if (column.kind === "boolean") {
    const input = document.createElement("select");
    input.append(new Option("true"), new Option("false"));
    input.value = String(example === true);
    return input;
  }
  const input = document.createElement("input");
  input.autocomplete = "off";
  input.spellcheck = false;
  if (column.kind === "integer" || column.kind === "float") input.inputMode = "decimal";
  if (column.kind === "timestamp") input.placeholder = "2026-11-28T13:42:39Z";
  input.value = example === null ? "" : String(example);
  return input;
}

// The text of a cell as JSON; numbers keep all their digits, which JavaScript's own would not.
function asJson(column, text) {
  if (column.kind === "boolean") return text;
  if (column.kind === "integer" || column.kind === "float") {
    const isNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text.trim());
    return isNumber ? text.trim() : JSON.stringify(text);
  }
  if (column.kind === "timestamp" && /^-?\d{9,}$/.test(text.trim())) return text.trim();
  return JSON.stringify(text);
}

function body(model) {
  const cells = model.columns.map((column, place) => {
    const input = at("cell-" + place);
    const value = input.disabled ? "null" : asJson(column, input.value);
    return JSON.stringify(column.name) + ": " + value;
  });
  return '{"rows": [{' + cells.join(", ") + "}]}";
}

function quoted(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

async function predict(event) {
  event.preventDefault();
  const model = models[Number(at("model").value)];
  const sent = body(model);
  const answer = await fetch(model.path, { method: "POST", body: sent, headers: headers({ "Content-Type": "application/json" }) });
  const told = await answer.json();
  at("answer").hidden = !answer.ok;
  if (!answer.ok) {
    tell(told.error, true);
    return;
  }
  tell(told.model + ", version " + told.version, false);
  at("predicted").replaceChildren(...Object.entries(told.predictions[0]).map(([name, value]) => {
    const line = document.createElement("tr");
    for (const text of [name, String(value)]) line.append(Object.assign(document.createElement("td"), { textContent: text }));
    return line;
  }));
  const secret = token ? ' -H "Authorization: Bearer $TOKEN"' : "";
  at("command").textContent = "curl " + location.origin + model.path + secret + " -H 'Content-Type: application/json' -d " + quoted(sent);
}

at("model").addEventListener("change", show);
at("row").addEventListener("submit", (event) => predict(event).catch((error) => tell(String(error), true)));
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  load().catch((error) => tell(String(error), true));
});
load().catch((error) => tell(String(error), true));
