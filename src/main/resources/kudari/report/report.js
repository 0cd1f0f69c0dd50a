'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const hidden = new Set();

const at = id => document.getElementById(id);
const shown = list => list.filter(({ rule }) => !hidden.has(rule));
const first = list => list.filter(({ device }) => device === list[0].device);
const several = data.devices.length > 1;
const others = data.devices.slice(1).join(', ');
const finite = list => list.filter(Number.isFinite);

// Not Math.max(...list), which takes no more numbers than fit on the stack.
const highest = list => list.reduce((a, b) => Math.max(a, b), -Infinity);
const lowest = list => list.reduce((a, b) => Math.min(a, b), Infinity);

/** An element with attributes and children; text is never parsed as HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---- Numbers, for people

const integer = new Intl.NumberFormat('en').format;
const compact = new Intl.NumberFormat('en', { notation: 'compact' }).format;
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format;
const percent = new Intl.NumberFormat('en', { style: 'percent' }).format;
const percents = new Intl.NumberFormat('en', { style: 'percent', minimumFractionDigits: 2 }).format;

/** A dash for null, which is what JSON has for NaN and infinity. */
const orDash = format => x => (x === null ? '–' : format(x));

const superscript = n => String(n).replace(/[-\d]/g, c => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)]);
const isPlain = x => x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e6);

/** Three digits; two and a power of ten where there would be many zeros. */
const number = orDash(x => {
  const [digits, exponent] = x.toExponential(1).split('e');
  return (isPlain(x) ? short(x) : `${digits}×10${superscript(Number(exponent))}`).replace(/^-/, '−');
});

/** A label on a logarithmic axis. */
const decade = x => (isPlain(x) ? short(x) : '10' + superscript(Math.round(Math.log10(x))));

// ---- Charts: each has a function that gives its options, and is drawn again whenever something it shows has changed

const charts = new Map();

function chart(element, label, options) {
  element.setAttribute('role', 'img');
  element.setAttribute('aria-label', label);
  const drawing = echarts.init(element, null, { renderer: 'svg' });
  charts.set(element, { drawing, options });
  new ResizeObserver(() => drawing.resize()).observe(element);
  draw(element);
}

function draw(element) {
  const { drawing, options } = charts.get(element);
  const fontFamily = getComputedStyle(element).fontFamily;
  drawing.setOption({ animation: false, textStyle: { fontFamily }, ...options(element) }, { notMerge: true });
}

const drawAll = () => [...charts.keys()].forEach(draw);

/** A colour of the style sheet, which knows of dark mode and of paper. */
const colour = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

function axis(more) {
  return {
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: colour('line') } },
    nameTextStyle: { color: colour('quiet') },
    ...more,
    axisLabel: { color: colour('quiet'), hideOverlap: true, ...more.axisLabel },
  };
}

const tooltip = more => ({
  confine: true,
  backgroundColor: colour('card'),
  borderColor: colour('line'),
  padding: [6, 10],
  textStyle: { color: colour('ink'), fontSize: 13, fontFamily: getComputedStyle(document.body).fontFamily },
  ...more,
});

/** What a tooltip says: a heading and a table. Elements, so that a name in the data is never taken for HTML. */
const tip = (heading, rows) => make('div', { class: 'tip' }, make('strong', {}, ...heading),
  make('table', {}, ...rows.map(cells => make('tr', {}, ...cells.map(cell => make('td', {}, cell))))));

const dot = colour => make('span', { class: 'swatch', style: `--colour: ${colour}` });

/** The distance of labels, so that they are round numbers and at most so many: 1, 2 or 5 times a power of ten. */
function spacing(max, most) {
  const least = Math.max(max, 1) / Math.max(most, 1), unit = 10 ** Math.floor(Math.log10(least));
  return Math.max(1, unit * [1, 2, 5, 10].find(n => n * unit >= least * (1 - 1e-9)));
}

/** Lines over steps or samples. A line: { name, colour, points, faint, marks, dashed }, its points [x, y], y null for a gap. */
function curves(element, { lines, names, xName, logX, logY, yMin, yMax, format, axisFormat, interval }) {
  const drawable = lines.filter(({ points }) => points.some(([, y]) => Number.isFinite(y)));
  if (drawable.length === 0) {
    return { title: { text: 'Nothing to draw', left: 'center', top: 'middle', textStyle: { color: colour('quiet'), fontWeight: 400, fontSize: 15 } } };
  }
  const right = names ? 92 : 28, xMax = highest(lines.flatMap(({ points }) => points.map(([x]) => x)));
  const xInterval = spacing(xMax, Math.floor((element.clientWidth - 52 - right) / 52));
  const byId = new Map(drawable.map(line => ['line ' + line.name, line]));
  return {
    grid: { left: 52, right, ...margins },
    tooltip: tooltip({
      trigger: 'axis',
      axisPointer: { lineStyle: { color: colour('quiet') }, label: { show: false } },
      formatter: items => tip([`${xName} ${integer(items[0].axisValue)}`],
        items.filter(({ seriesId, value }) => byId.has(seriesId) && Number.isFinite(value[1]))
          .sort((a, b) => b.value[1] - a.value[1])
          .map(({ seriesId, value }) => [dot(byId.get(seriesId).colour), byId.get(seriesId).name, format(value[1])])),
    }),
    xAxis: axis({
      type: logX ? 'log' : 'value', name: xName, nameLocation: 'middle', nameGap: 28, splitLine: { show: false },
      ...(logX
        ? { min: 'dataMin', max: 'dataMax', axisLabel: { formatter: compact } }
        : { min: 0, max: xMax, interval: xInterval, axisLabel: { formatter: x => integer(x), showMaxLabel: xMax % xInterval === 0 } }),
    }),
    yAxis: axis({ type: logY ? 'log' : 'value', min: yMin, max: yMax, interval, axisLabel: { formatter: axisFormat } }),
    series: drawable.flatMap(line => [
      ...(line.faint ? [{
        id: 'faint ' + line.name, type: 'line', data: line.faint, silent: true, showSymbol: false, z: 1,
        color: line.colour, lineStyle: { width: 0.7, opacity: 0.25 },
      }] : []),
      {
        id: 'line ' + line.name, name: line.name, type: 'line', data: line.points, z: 2,
        showSymbol: Boolean(line.marks), symbol: 'circle', symbolSize: 5,
        color: line.colour, lineStyle: { width: line.faint ? 2 : 1.5, type: line.dashed ? 'dashed' : 'solid' },
        endLabel: {
          show: Boolean(names) && !line.dashed, formatter: line.name, color: colour('ink'), distance: 6, offset: [0, names?.get(line) ?? 0],
          textBorderColor: colour('paper'), textBorderWidth: 3,
        },
        emphasis: { disabled: true },
      },
    ]),
  };
}

const margins = { top: 12, bottom: 44 };

/** For the names at the ends of lines: how far up or down each must go, in pixels, to stand clear of its neighbours. */
function clear(element, lines, { logY, yMin, yMax }) {
  const height = element.clientHeight - margins.top - margins.bottom, lineHeight = 15;
  const scale = logY ? Math.log10 : y => y;
  const pixel = y => (scale(yMax) - scale(y)) / (scale(yMax) - scale(yMin)) * height;
  // A line that ended early, with a rule that diverged, has its name to itself.
  const ends = lines.filter(({ points }) => Number.isFinite(points.at(-1)?.[1]))
    .map(line => ({ line, wish: pixel(line.points.at(-1)[1]) }))
    .sort((a, b) => a.wish - b.wish);
  ends.forEach((end, n) => { end.place = Math.max(end.wish, n > 0 ? ends[n - 1].place + lineHeight : 0); });
  let floor = height;
  for (const end of ends.reverse()) {
    end.place = Math.min(end.place, floor);
    floor = end.place - lineHeight;
  }
  return new Map(ends.map(({ line, wish, place }) => [line, place - wish]));
}

/** Bounds for losses: a rule that shoots up at first, or for good, must not squash the others. */
function bounds(lines, log) {
  const values = lines.flatMap(line => finite(line.points.map(([, y]) => y)));
  const start = highest(lines.map(line => line.points.map(([, y]) => y).find(Number.isFinite) ?? 0));
  const top = Math.min(highest(values), (log ? 10 : 1.5) * start);
  if (!(top > 0)) return { yMin: log ? 0.1 : 0, yMax: 1 };
  const bottom = Math.min(Math.max(lowest(values.filter(y => y > 0)), 1e-7), top);
  const yMin = log ? 10 ** Math.floor(Math.log10(bottom)) : 0;
  const unit = 10 ** Math.floor(Math.log10(top)), tick = top > 4 * unit ? 2 * unit : unit / 2;
  const yMax = log ? Math.max(10 ** Math.ceil(Math.log10(top)), 10 * yMin) : Math.ceil(top / tick) * tick;
  return { yMin, yMax };
}

/** In words, what is not between the bounds of a chart. A list: { name, points }, its points [x, y], y null for what is no number. */
function cutOff(list, { yMin, yMax, xName, what, format }) {
  const times = points => ` in ${integer(points.length)} ${points.length === 1 ? what : what + 's'}`;
  const say = (title, pick, word, extreme) => {
    const parts = list.map(({ name, points }) => ({ name, found: points.filter(([, y]) => pick(y)) }))
      .filter(({ found }) => found.length > 0)
      .map(({ name, found }) => {
        const [x, y] = found.reduce((a, b) => (extreme(a[1], b[1]) ? a : b));
        return `${name}${times(found)}, ${word(y)} ${xName} ${integer(x)}`;
      });
    return parts.length === 0 ? '' : `${title}: ${parts.join('; ')}. `;
  };
  return say('Above the chart', y => y !== null && y > yMax, y => `up to ${format(y)} at`, (a, b) => a >= b)
    + say('Below the chart', y => y !== null && y < yMin, y => `down to ${format(y)} at`, (a, b) => a <= b)
    + say('Not a finite number', y => y === null, () => 'first at', () => true);
}

/** On a logarithmic axis there is no 0, so that is a gap too. */
const positive = (points, log) => (log ? points.map(([x, y]) => [x, y > 0 ? y : null]) : points);

// ---- The legend

const rules = Object.keys(data.colours);

function legend() {
  for (const rule of rules) {
    const box = make('input', { type: 'checkbox', checked: '' });
    box.addEventListener('change', () => {
      if (box.checked) hidden.delete(rule); else hidden.add(rule);
      rows();
      panels();
      drawAll();
    });
    at('rules').append(make('label', {}, box, swatch(rule), rule));
  }
}

const swatch = rule => dot(data.colours[rule]);

// ---- The table

function rows() {
  const best = {
    finalLoss: lowest(finite(data.table.map(row => row.finalLoss))),
    testAccuracy: highest(finite(data.table.map(row => row.testAccuracy))),
    microsPerUpdate: lowest(finite(data.table.map(row => row.microsPerUpdate))),
    microsPerStep: lowest(finite(data.table.map(row => row.microsPerStep))),
  };
  const cell = (row, name, text) =>
    make('td', { class: 'number' }, row[name] === best[name] && data.table.length > 1 ? make('b', {}, text) : text);
  at('table').querySelector('tbody').replaceChildren(...data.table.flatMap(row => [
    make('tr', { class: hidden.has(row.rule) ? 'off' : '' },
      make('th', { scope: 'row' }, swatch(row.rule), row.rule),
      ...(several ? [make('td', { class: 'settings wide' }, row.device)] : []),
      make('td', { class: 'settings wide' }, row.settings),
      cell(row, 'finalLoss', row.finalLoss === null && row.steps > 0 ? 'diverged' : number(row.finalLoss)),
      cell(row, 'testAccuracy', orDash(percents)(row.testAccuracy)),
      cell(row, 'microsPerUpdate', number(row.microsPerUpdate)),
      cell(row, 'microsPerStep', number(row.microsPerStep)),
      cell(row, 'seconds', orDash(x => x.toFixed(1))(row.seconds))),
    // Where the page is narrow, a row of its own; the style sheet shows one or the other.
    make('tr', { class: 'narrow' + (hidden.has(row.rule) ? ' off' : '') },
      make('td', { class: 'settings', colspan: 6 }, (several ? row.device + ' · ' : '') + row.settings)),
  ]));
}

// ---- The paths

/** f = c is an ellipse with the half axes √(20c) and √c; steps of ½ in √c put the rings at equal distances. */
const rings = Array.from({ length: 6 }, (_, n) => (n + 1) / 2).map(root => Array.from({ length: 97 }, (_, i) => {
  const angle = 2 * Math.PI * i / 96;
  return [root * Math.sqrt(20) * Math.cos(angle), root * Math.sin(angle)];
}));

function panel(trajectories) {
  const step = Number(at('step').value);
  return {
    grid: { left: 26, right: 8, top: 8, bottom: 22 },
    tooltip: tooltip({
      formatter: ({ seriesName, color, dataIndex, value: [x, y, f] }) =>
        tip([dot(color), ` ${seriesName}, step ${dataIndex}`], [['x', number(x)], ['y', number(y)], ['f', number(f)]]),
    }),
    xAxis: axis({ type: 'value', min: -8, max: 8, interval: 2, splitLine: { show: false } }),
    yAxis: axis({ type: 'value', min: -3, max: 3, interval: 1, splitLine: { show: false } }),
    series: [
      ...rings.map(ring => ({
        type: 'line', data: ring, silent: true, showSymbol: false, z: 1, lineStyle: { color: colour('ring'), width: 1 },
      })),
      {
        type: 'scatter', data: [[0, 0]], silent: true, z: 1, symbolSize: 11, itemStyle: { color: colour('quiet') },
        symbol: 'path://M-1-5H1V-1H5V1H1V5H-1V1H-5V-1H-1Z',
      },
      ...trajectories.map(({ rule, points }) => ({
        type: 'line', name: rule, z: 2, color: data.colours[rule], showAllSymbol: true,
        data: points.slice(0, step + 1).map(({ x, y, f }) => [x, y, f]),
        symbol: 'circle', symbolSize: (_, { dataIndex }) => (dataIndex === Math.min(step, points.length - 1) ? 9 : 5),
        lineStyle: { width: 1.5 },
      })),
    ],
  };
}

function panels() {
  const together = at('together').checked;
  for (const element of [...charts.keys()].filter(element => element.className === 'panel')) {
    charts.get(element).drawing.dispose();
    charts.delete(element);
  }
  const trajectories = shown(first(data.trajectories));
  const groups = together ? [trajectories] : trajectories.map(trajectory => [trajectory]);
  at('panels').className = together ? 'together' : '';
  at('panels').replaceChildren();
  for (const group of groups) {
    const plot = make('div', { class: 'panel' });
    const caption = group.flatMap(({ rule, settings }) =>
      [swatch(rule), ` ${rule} `, make('span', { class: 'settings' }, settings), '\u2003']);
    at('panels').append(make('figure', {}, make('figcaption', {}, ...caption), plot,
      ...group.map(({ rule }) => make('p', { class: 'where', 'data-rule': rule }))));
    chart(plot, 'Path of ' + group.map(({ rule }) => rule).join(', ') + ' over the contours of f', () => panel(group));
  }
  where();
}

/** What the dots say, in words: for keyboards, screen readers and thumbs. */
function where() {
  const step = Number(at('step').value);
  at('step-shown').textContent = step;
  for (const line of document.querySelectorAll('.where')) {
    const { rule, points } = data.trajectories.find(({ rule }) => rule === line.dataset.rule);
    const { x, y, f } = points[Math.min(step, points.length - 1)];
    line.textContent = `${at('together').checked ? rule + '  ' : ''}x ${number(x)}   y ${number(y)}   f ${number(f)}`;
  }
}

function stepChanged() {
  where();
  [...charts.keys()].filter(element => element.className === 'panel').forEach(draw);
}

function paths() {
  const slider = at('step'), play = at('play');
  slider.max = slider.value = highest(data.trajectories.map(({ points }) => points.length - 1));
  slider.addEventListener('input', stepChanged);
  at('together').addEventListener('change', panels);
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = 'Play';
  };
  play.addEventListener('click', () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    play.textContent = 'Pause';
    stepChanged();
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      stepChanged();
      if (slider.value === slider.max) stop();
    }, 250);
  });
  panels();
  if (several) at('paths-note').textContent = sameBits();
}

/** Whether the paths of other devices are the first one's, float by float: JSON has every digit of them. */
function sameBits() {
  const paths = new Map(first(data.trajectories).map(({ rule, points }) => [rule, JSON.stringify(points)]));
  const astray = data.trajectories.filter(({ rule, points }) => JSON.stringify(points) !== paths.get(rule));
  return astray.length === 0
    ? `These are the paths on ${data.devices[0]}. On ${others} they are the same, bit for bit.`
    : `These are the paths on ${data.devices[0]}. Others: ${astray.map(({ rule, device }) => `${rule} on ${device}`).join(', ')}.`;
}

// ---- The curves

/**
 * The median of the window of steps around each one: as many before it as there are, and at most as many after it, so that the first is itself.
 * Not the mean, which one step of 400 among 51 of 2 would raise to 10 for as long as it is in the window. A step without a number stays without
 * one, and does not spoil its neighbours.
 */
function smooth(values, window) {
  const sorted = [];
  const place = x => {
    let from = 0, to = sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sorted[middle] < x) from = middle + 1; else to = middle;
    }
    return from;
  };
  let first = 0, end = 0;
  return values.map((value, i) => {
    const reach = Math.min(window >> 1, i);
    for (; end < Math.min(values.length, i + reach + 1); end++) {
      if (values[end] !== null) sorted.splice(place(values[end]), 0, values[end]);
    }
    for (; first < i - reach; first++) {
      if (values[first] !== null) sorted.splice(place(values[first]), 1);
    }
    const n = sorted.length;
    return value === null ? null : (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
  });
}

/** What a training's line is called, and whether it is dashed: the first device's has the rule's name alone. */
const line = (rule, device) => (device === data.devices[0] ? { name: rule } : { name: `${rule}, ${device}`, dashed: true });

const numbered = values => values.map((y, i) => [i + 1, y]);

function losses(element) {
  const window = Number(at('window').value), logX = at('loss-log-x').checked, logY = at('loss-log-y').checked;
  const lines = shown(data.trainings).map(({ rule, device, losses }) => ({
    ...line(rule, device),
    colour: data.colours[rule],
    points: positive(numbered(smooth(losses, window)), logY),
    faint: at('raw').checked ? positive(numbered(losses), logY) : undefined,
  }));
  const { yMin, yMax } = bounds(lines, logY);
  const raw = shown(data.trainings).map(({ rule, device, losses }, n) =>
    ({ name: lines[n].name, points: numbered(at('raw').checked ? losses : smooth(losses, window)) }));
  at('window-shown').textContent = window;
  at('losses-note').textContent = (several ? `Solid: ${data.devices[0]}. Dashed: ${others}. ` : '')
    + cutOff(raw, { yMin, yMax, xName: 'step', what: 'step', format: number });
  const names = clear(element, lines.filter(({ dashed }) => !dashed), { logY, yMin, yMax });
  return curves(element, { lines, names, xName: 'step', logX, logY, yMin, yMax, format: number, axisFormat: logY ? decade : number });
}

function accuracies(element) {
  const best = highest(finite(data.table.map(row => row.testAccuracy)));
  const lines = shown(data.trainings).map(({ rule, device, accuracies }) => ({
    ...line(rule, device),
    colour: data.colours[rule],
    points: accuracies.map(({ at, value }) => [at, value]),
    marks: true,
  }));
  // The end of the race is decided among the last percents; how a rule gets there is seen from 0.
  const yMin = at('whole').checked ? 0 : Math.max(0, Math.floor(20 * best - 3) / 20);
  at('accuracies-note').textContent = cutOff(lines, { yMin, yMax: 1, xName: 'step', what: 'evaluation', format: percents });
  return curves(element, {
    lines, names: clear(element, lines.filter(({ dashed }) => !dashed), { yMin, yMax: 1 }), xName: 'step', yMin, yMax: 1,
    interval: yMin > 0 ? 0.05 : 0.2, format: percents, axisFormat: x => percent(x),
  });
}

function batching(element) {
  const logX = at('batching-log-x').checked, logY = at('batching-log-y').checked;
  const lines = data.batchingRuns.map(({ name, losses }, n) => ({
    name,
    colour: colour('batching-' + (n + 1)),
    points: positive(losses.map(({ at, value }) => [at, value]), logY).filter(([x]) => !logX || x > 0),
  }));
  const { yMin, yMax } = bounds(lines, logY);
  const raw = data.batchingRuns.map(({ name, losses }) => ({ name, points: losses.map(({ at, value }) => [at, value]) }));
  at('batching-note').textContent = cutOff(raw, { yMin, yMax, xName: 'sample', what: 'evaluation', format: number });
  return curves(element, {
    lines, xName: 'samples seen', logX, logY, yMin, yMax, format: number, axisFormat: logY ? decade : number,
  });
}

function curveChart(id, label, options, controls) {
  const element = at(id + '-chart');
  chart(element, label, options);
  for (const control of controls) at(control).addEventListener('input', () => draw(element));
}

// ---- The digits and the facts

function digit({ label, columns, pixels }) {
  const greys = atob(pixels), rows = greys.length / columns;
  const canvas = make('canvas', { width: columns, height: rows, role: 'img', 'aria-label': `a handwritten ${label}` });
  const context = canvas.getContext('2d'), image = context.createImageData(columns, rows);
  for (let i = 0; i < greys.length; i++) image.data.set(Array(3).fill(255 - greys.charCodeAt(i)).concat(255), 4 * i);
  context.putImageData(image, 0, 0);
  return make('figure', {}, canvas, make('figcaption', {}, label));
}

const entry = (name, value) => [make('dt', {}, ...[name].flat()), make('dd', {}, value)];

function facts() {
  const { device, data: set, network, seed, versions, time, command } = data.facts;
  at('lead').textContent = [network, set, device].filter(Boolean).join(' · ');
  at('facts').append(...Object.entries({
    Device: device, Data: set, Network: network, Seed: String(seed), Versions: versions, Time: time,
    Command: make('code', {}, command),
  }).flatMap(([name, value]) => entry(name, value)));
}

// ---- All together; a part that the comparison left out is left out here

function section(id, list, fill) {
  if (list.length === 0) return;
  at(id).hidden = false;
  fill();
}

legend();
facts();
section('table', data.table, () => {
  at('device-heading').hidden = !several;
  rows();
});
section('paths', data.trajectories, paths);
section('losses', data.trainings, () => curveChart('losses', 'Training loss of each rule against the step', losses,
  ['window', 'raw', 'loss-log-x', 'loss-log-y']));
section('accuracies', data.trainings, () => curveChart('accuracies', 'Test accuracy of each rule against the step', accuracies,
  ['whole']));
section('batching', data.batchingRuns, () => {
  curveChart('batching', 'Loss against the number of samples seen', batching, ['batching-log-x', 'batching-log-y']);
  at('batching-settings').append(...data.batchingRuns.flatMap(({ name, settings }, n) =>
    entry([make('span', { class: 'swatch', style: `--colour: var(--batching-${n + 1})` }), ' ' + name], settings)));
});
section('digits', data.digits, () => at('sheet').append(...data.digits.map(digit)));

// Charts take their colours and their sizes when they are drawn; these are the moments at which the style sheet changes its mind.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);

function paper(on) {
  document.documentElement.classList.toggle('paper', on);
  for (const { drawing } of charts.values()) drawing.resize();
  drawAll();
}

addEventListener('beforeprint', () => paper(true));
addEventListener('afterprint', () => paper(false));
