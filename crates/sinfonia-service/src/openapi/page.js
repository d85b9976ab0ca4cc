"use strict";

// Shows what the service says of itself, and sends requests to it. Nothing is taken from elsewhere, and no text becomes markup.

const DESCRIPTION = "/api/v1/openapi.json";

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// The first example of what is sent, all of which is a schema with a name.
function example(schema, api) {
  const { examples } = api.components.schemas[schema.$ref.split("/").pop()];
  return examples[0];
}

function field(parameter, inputs) {
  const schema = parameter.schema || {};
  const shown = parameter.example ?? (schema.examples || [""])[0];
  const input = element("input", { spellcheck: false, required: parameter.required, placeholder: shown });
  if (parameter.in === "path") input.value = shown;
  inputs.push({ parameter, input });
  const needed = parameter.required ? "" : ", optional";
  const name = element("span", {}, element("code", { textContent: parameter.name }), ` (${parameter.in}${needed})`);
  return element("label", {}, name, element("small", { textContent: parameter.description || "" }), input);
}

function responses(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const contents = Object.entries(response.content || {}).map(([type, content]) => {
      const reference = (content.schema && content.schema.$ref) || "";
      return `${type} ${reference.split("/").pop()}`;
    });
    const headers = Object.keys(response.headers || {}).join(", ");
    const cells = [status, response.description, contents.join(", "), headers];
    return element("tr", {}, ...cells.map((text) => element("td", { textContent: text })));
  });
  const titles = ["Status", "Meaning", "Body", "Headers"].map((text) => element("th", { textContent: text, scope: "col" }));
  return element("table", {}, element("thead", {}, element("tr", {}, ...titles)), element("tbody", {}, ...rows));
}

function request(method, path, inputs, body) {
  const query = new URLSearchParams();
  const headers = new Headers();
  let url = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "" && parameter.in === "query") query.append(parameter.name, input.value);
    else if (input.value !== "" && parameter.in === "header") headers.set(parameter.name, input.value);
  }
  const token = document.getElementById("token").value;
  if (token !== "") headers.set("Authorization", `Bearer ${token}`);
  if (body) headers.set("Content-Type", "application/json");
  const asked = query.size === 0 ? url : `${url}?${query}`;
  return fetch(asked, { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
}

async function told(response) {
  const text = await response.text();
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  let body = text;
  try {
    body = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not everything is JSON.
  }
  return `${response.status} ${response.statusText}\n${headers}\n\n${body}`;
}

function operation(method, path, description, api) {
  const inputs = [];
  const fields = (description.parameters || []).map((parameter) => field(parameter, inputs));
  const content = description.requestBody && description.requestBody.content["application/json"];
  let body;
  if (content) {
    const value = JSON.stringify(example(content.schema, api), null, 2);
    body = element("textarea", { value, spellcheck: false });
    fields.push(element("label", {}, "Body", body));
  }
  const answer = element("pre", { hidden: true, tabIndex: 0 });
  answer.setAttribute("role", "status");
  const form = element("form", {}, ...fields, element("button", { textContent: `Send ${method.toUpperCase()}` }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.hidden = false;
    answer.textContent = "…";
    try {
      answer.textContent = await told(await request(method, path, inputs, body));
    } catch (error) {
      answer.textContent = String(error);
    }
  });
  const name = element("span", { className: "method", textContent: method.toUpperCase() });
  const summary = element("summary", {}, name, element("code", { textContent: path }), ` ${description.summary || ""}`);
  const text = element("p", { textContent: description.description || "" });
  return element("details", {}, summary, text, form, answer, responses(description));
}

function schemas(api) {
  const all = Object.entries(api.components.schemas).map(([name, schema]) => {
    const text = element("pre", { textContent: JSON.stringify(schema, null, 2), tabIndex: 0 });
    return element("details", {}, element("summary", {}, element("code", { textContent: name })), text);
  });
  return [element("h2", { textContent: "Schemas" }), ...all];
}

function show(api) {
  document.title = `${api.info.title}: the API`;
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById("description").textContent = api.info.description || "";
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, description] of Object.entries(methods)) {
      const tag = (description.tags || ["Others"])[0];
      groups.set(tag, [...(groups.get(tag) || []), operation(method, path, description, api)]);
    }
  }
  const shown = [...groups].flatMap(([tag, operations]) => [element("h2", { textContent: tag }), ...operations]);
  document.getElementById("operations").replaceChildren(...shown, ...schemas(api));
}

fetch(DESCRIPTION)
  .then((response) => response.json())
  .then(show)
  .catch((error) => {
    document.getElementById("operations").textContent = `The description cannot be shown: ${error}`;
  });
