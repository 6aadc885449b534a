// Numbers and values as a person reads them, the same as formats.py writes them.

const MISSING = '–';
const plainFormat = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 6 });
const wholeFormat = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const fixedFormats = new Map();

function isNumber(value) {
  return typeof value === 'number' && Number.isFinite(value);
}

// A minus as wide as a plus.
function withMinus(text) {
  return text.startsWith('-') ? `−${text.slice(1)}` : text;
}

function formatNumber(value) {
  if (!isNumber(value)) return MISSING;
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return withMinus(wholeFormat.format(value));
  const size = Math.abs(value);
  return withMinus(size < 1e-4 || size >= 1e15 ? value.toExponential(3) : plainFormat.format(value));
}

function formatFixed(value, decimals) {
  if (!isNumber(value)) return MISSING;
  if (Math.abs(value) >= 1e15) return formatNumber(value);
  if (!fixedFormats.has(decimals)) {
    fixedFormats.set(decimals, new Intl.NumberFormat('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  }
  return withMinus(fixedFormats.get(decimals).format(value));
}

function formatSigned(value, decimals) {
  if (!isNumber(value)) return MISSING;
  return (value > 0 ? '+' : value < 0 ? '−' : '') + formatFixed(Math.abs(value), decimals);
}

// The decimals with which the middle one of some values has five significant digits, four where it is below 1.
function decimalsOf(values) {
  const sizes = values.filter((value) => isNumber(value) && value !== 0).map(Math.abs).sort((a, b) => a - b);
  if (sizes.length === 0) return 0;
  const power = Math.floor(Math.log10(sizes[sizes.length >> 1]));
  return Math.min(8, Math.max(0, (power >= 0 ? 4 : 3) - power));
}

// A value of a column as text; null and the empty text are told apart from texts by `isMuted`.
function valueText(value) {
  if (value === null) return 'null';
  return value === '' ? '(empty)' : String(value);
}

function isMuted(value) {
  return value === null || value === '';
}

function plural(number, word) {
  return `${formatNumber(number)} ${word}${number === 1 ? '' : 's'}`;
}

// An element with attributes and children; texts are only ever text.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function valueElement(value) {
  return isMuted(value) ? element('span', { class: 'null' }, valueText(value)) : element('bdi', {}, valueText(value));
}
