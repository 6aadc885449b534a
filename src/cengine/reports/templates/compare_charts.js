// Drawing: what is asked for is drawn one after the other, and of several that wait only the last. New data goes into the
// drawn chart, which is much faster than drawing it anew; that is only done where the spec itself changes.

function startChart(place, spec, onPoint) {
  let view = null;
  let next = null;
  let changed = null;
  let drawing = Promise.resolve();

  async function embed(change, data) {
    if (view) view.finalize();
    const made = change(structuredClone(spec));
    if (made.datasets) made.datasets = data;
    else made.data.values = data[made.data.name];
    // `ast` interprets Vega's expressions, so that the policy need not allow `eval`. Of warnings (no row to scale by) nobody has anything.
    ({ view } = await window.vegaEmbed(place, made, { actions: false, ast: true, renderer: 'svg', mode: 'vega-lite', logLevel: 1 }));
    if (!onPoint) return;
    view.addEventListener('pointerover', (event, item) => onPoint(item && item.datum ? item.datum.run ?? null : null));
    view.addEventListener('pointerout', () => onPoint(null));
  }

  async function drawNext() {
    if (next === null) return;
    const { data, size, signals } = next;
    const change = changed;
    next = null;
    changed = null;
    if (change !== null || view === null) await embed(change ?? ((same) => same), data);
    else for (const [name, rows] of Object.entries(data)) view.data(name, rows);
    for (const [name, value] of Object.entries({ ...size, ...signals })) view.signal(name, value);
    await view.runAsync();
    if (next === null) place.setAttribute('data-drawn', '');
  }

  // `data` by name, `size` {width, height} and `signals` of what is to be seen; `change` makes another spec of the spec.
  function show({ data, size = {}, signals = {}, change = null }) {
    next = { data, size, signals };
    changed = change ?? changed;
    place.removeAttribute('data-drawn');
    drawing = drawing.then(drawNext).catch((error) => {
      place.textContent = 'This chart could not be drawn.';
      console.error(error);
    });
  }

  // Changes a signal of what is drawn.
  function signal(name, value) {
    drawing = drawing.then(() => (view && next === null ? view.signal(name, value).runAsync() : null));
  }

  return { show, signal };
}

// A text that cannot change the direction of what is written after it.
function isolated(text) {
  return `\u2068${text.replace(/[\u202a-\u202e\u2066-\u2069]/g, '')}\u2069`;
}

function options(select, texts) {
  select.replaceChildren(...texts.map((text, i) => element('option', { value: String(i) }, text)));
  select.closest('.control').hidden = texts.length < 2;
}

// Checkboxes in a field set; `changed` is told the places of those that are ticked.
function ticks(place, texts, ticked, most, changed) {
  const boxes = texts.map((text, i) => {
    const box = element('input', { type: 'checkbox', value: String(i) });
    box.checked = ticked.includes(i);
    return box;
  });
  const chosen = () => boxes.flatMap((box, i) => (box.checked ? [i] : []));
  const limit = () => { for (const box of boxes) box.disabled = !box.checked && chosen().length >= most; };
  place.append(...boxes.map((box, i) => element('label', {}, box, element('span', {}, element('bdi', {}, texts[i])))));
  place.addEventListener('change', () => { limit(); changed(chosen()); });
  limit();
  return chosen;
}

function readJson(id) {
  return JSON.parse(document.getElementById(id).textContent);
}
