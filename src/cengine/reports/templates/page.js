// Theme, charts and printing of every page.

const root = document.documentElement;

// The store can be missing: a frame in a notebook has none.
function remembered(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* shown now, forgotten later */ }
}

const themes = ['auto', 'light', 'dark'];

function setTheme(theme) {
  if (theme === 'auto') delete root.dataset.theme;
  else root.dataset.theme = theme;
  document.getElementById('theme-name').textContent = theme;
}

function startTheme() {
  const button = document.getElementById('theme');
  let theme = themes.includes(remembered('cengine-theme')) ? remembered('cengine-theme') : 'auto';
  setTheme(theme);
  button.hidden = false;
  button.addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
    remember('cengine-theme', theme);
  });
}

// A chart is drawn when it comes near the view, and all of them before printing.
const drawn = new Map();

function draw(place) {
  if (!drawn.has(place)) {
    const spec = JSON.parse(document.getElementById(`${place.id}-spec`).textContent);
    // `ast` interprets Vega's expressions, so that the policy need not allow `eval`.
    // Vega names the element it draws into after itself; the description of `place` is better.
    const inside = place.appendChild(document.createElement('div'));
    const embedded = window.vegaEmbed(inside, spec, { actions: false, ast: true, renderer: 'svg', mode: 'vega-lite', tooltip: { theme: 'custom' } });
    drawn.set(place, embedded.then(() => place.setAttribute('data-drawn', ''), (error) => {
      place.textContent = 'This chart could not be drawn.';
      console.error(error);
    }));
  }
  return drawn.get(place);
}

function startCharts() {
  const places = [...document.querySelectorAll('.drawing')];
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      draw(target);
    }
  }, { rootMargin: '600px' });
  for (const place of places) watcher.observe(place);
  const idle = window.requestIdleCallback ?? ((action) => setTimeout(action, 300));
  const drawNext = () => {
    const place = places.find((candidate) => !drawn.has(candidate) && candidate.offsetParent !== null);
    if (place) draw(place).then(() => idle(drawNext));
  };
  addEventListener('load', () => idle(drawNext));
}

function startPrinting() {
  const opened = [];
  addEventListener('beforeprint', () => {
    for (const details of document.querySelectorAll('details:not([open])')) {
      details.open = true;
      opened.push(details);
    }
  });
  addEventListener('afterprint', () => {
    for (const details of opened.splice(0)) details.open = false;
  });
}

startTheme();
startCharts();
startPrinting();

// A select that shows one panel of several, such as the curves of a class.
for (const select of document.querySelectorAll('select[data-panels]')) {
  select.addEventListener('change', () => {
    for (const option of select.options) {
      document.getElementById(`${select.dataset.panels}-${option.value}`).hidden = option.value !== select.value;
    }
  });
}

// The section that is being read is marked in the list of sections.
const links = new Map([...document.querySelectorAll('.sections a')].map((link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute('aria-current');
    links.get(target.id).setAttribute('aria-current', 'true');
  }
}, { rootMargin: '-15% 0px -75% 0px' });
for (const id of links.keys()) {
  const section = document.getElementById(id);
  if (section) reading.observe(section);
}
