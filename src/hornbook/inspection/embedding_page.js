"use strict";
// The map of embedding_page.py. Everything that a vocabulary holds is set as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const [canvas, tip, about, search, choice] = ["canvas", "tip", "about", "search", "view"].map(
  (id) => document.getElementById(id));
const brush = canvas.getContext("2d");
const count = data.names.length;
const lower = data.names.map((name) => name.toLowerCase());
const dark = matchMedia("(prefers-color-scheme: dark)");
const NEAR_ENOUGH = 14;  // pixels from the pointer to a token that it means
let places = Object.values(data.views)[0];
let look = { scale: 1, x: 0, y: 0 };  // a place p is drawn at (p.x * scale + x, -p.y * scale + y)
let hovered = -1, kept = -1, found = null;

function spot(point) {
  const [x, y] = places[point];
  return [x * look.scale + look.x, -y * look.scale + look.y];
}

function showAll() {
  const xs = places.map((p) => p[0]), ys = places.map((p) => p[1]);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const width = canvas.clientWidth, height = canvas.clientHeight;
  look.scale = Math.min((width - 120) / (right - left || 1), (height - 60) / (high - low || 1));
  look.x = width / 2 - 20 - look.scale * (left + right) / 2;
  look.y = height / 2 + look.scale * (low + high) / 2;
  draw();
}

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  look.x = x + (look.x - x) * factor;
  look.y = y + (look.y - y) * factor;
  look.scale *= factor;
  draw();
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

function draw() {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, width, height);
  const chosen = hovered >= 0 ? hovered : kept;
  const near = chosen < 0 ? [] : data.near[chosen].map((pair) => pair[0]);
  if (chosen >= 0) drawLines(chosen, near);
  const shade = dark.matches ? 2 : 1;
  for (let point = count - 1; point >= 0; point--) {
    const [x, y] = spot(point);
    if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
    brush.globalAlpha = found !== null && !found.has(point) ? 0.12 : 0.7;
    brush.fillStyle = data.kinds[data.kind[point]][shade];
    brush.beginPath();
    brush.arc(x, y, point === chosen ? 6 : near.includes(point) ? 4 : 2.6, 0, 7);
    brush.fill();
  }
  brush.globalAlpha = 1;
  drawNames(chosen, near, width, height);
}

function drawLines(chosen, near) {
  brush.strokeStyle = colour("--line");
  for (const other of near) {
    brush.beginPath();
    brush.moveTo(...spot(chosen));
    brush.lineTo(...spot(other));
    brush.stroke();
  }
}

// Names where there is room: what is chosen, its neighbours, what was found, the most frequent.
function drawNames(chosen, near, width, height) {
  const first = [...(chosen >= 0 ? [chosen] : []), ...near, ...(found ?? [])];
  const order = new Set([...first, ...(found === null ? Array(count).keys() : [])]);
  const taken = [];
  brush.textBaseline = "middle";
  for (const point of order) {
    const [x, y] = spot(point);
    if (x < 0 || y < 0 || x > width || y > height) continue;
    const size = point === chosen ? 15 : 12;
    brush.font = `${point === chosen ? "600 " : ""}${size}px system-ui, sans-serif`;
    const name = data.names[point].slice(0, 24), long = brush.measureText(name).width;
    const box = [x + 5, y - size * 0.7, x + 9 + long, y + size * 0.7];
    if (taken.some((b) => box[0] < b[2] && b[0] < box[2] && box[1] < b[3] && b[1] < box[3])) continue;
    taken.push(box);
    brush.fillStyle = colour(near.includes(point) || point === chosen ? "--accent" : "--ink");
    brush.fillText(name, x + 7, y);
    if (taken.length === 250) return;
  }
}

function nearest(x, y) {
  let best = -1, least = NEAR_ENOUGH ** 2;
  for (let point = 0; point < count; point++) {
    const [px, py] = spot(point), distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [best, least] = [point, distance];
  }
  return best;
}

function element(tag, text, kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = kind;
  return made;
}

function tell(point) {
  if (point < 0) {
    about.replaceChildren(element("p", "Point at a token, or search for one.", "muted"));
    return;
  }
  const often = data.counts === null ? "" : `, ${data.counts[point].toLocaleString("en")} times in training`;
  const facts = `id ${data.ids[point]}${often}, length ${data.norms[point]}`;
  const rows = data.near[point].map(([other, cosine]) => {
    const row = element("button", "");
    row.append(element("span", data.names[other]), element("span", cosine.toFixed(2), "muted"));
    row.onclick = () => keep(other);
    return row;
  });
  about.replaceChildren(
    element("h2", data.names[point]), element("p", facts, "muted"),
    element("p", "Nearest among these, by cosine:"), ...rows);
}

function keep(point) {
  kept = point;
  tell(kept);
  draw();
}

function hover(point, x, y) {
  tip.hidden = point < 0;
  if (point >= 0) {
    tip.textContent = data.names[point];
    tip.style.left = `${Math.min(x + 14, canvas.clientWidth - 120)}px`;
    tip.style.top = `${Math.max(y - 34, 2)}px`;
  }
  if (point === hovered) return;
  hovered = point;
  canvas.style.cursor = point >= 0 ? "pointer" : "grab";
  tell(point >= 0 ? point : kept);
  draw();
}

// One finger or the mouse moves the map, two fingers pinch it.
const fingers = new Map();
let moved = 0;
canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  moved = 0;
};
canvas.onpointermove = (event) => {
  const [x, y] = [event.offsetX, event.offsetY], before = fingers.get(event.pointerId);
  if (before === undefined) {
    hover(nearest(x, y), x, y);
    return;
  }
  moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  fingers.set(event.pointerId, [x, y]);
  if (other !== undefined) {
    const apart = (finger) => Math.hypot(finger[0] - other[0], finger[1] - other[1]);
    zoom(apart([x, y]) / Math.max(apart(before), 1), ...other);
    return;
  }
  look.x += x - before[0];
  look.y += y - before[1];
  draw();
};
canvas.onpointerup = canvas.onpointercancel = (event) => {
  fingers.delete(event.pointerId);
  if (event.type === "pointerup" && moved < 4) keep(nearest(event.offsetX, event.offsetY));
};
canvas.onpointerleave = () => hover(-1, 0, 0);
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
}, { passive: false });
canvas.onkeydown = (event) => {
  const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
  const step = steps[event.key];
  if (step !== undefined) {
    event.preventDefault();
    look.x += step[0];
    look.y += step[1];
    draw();
  } else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.3 : 1 / 1.3);
};
search.oninput = () => {
  const wanted = search.value.trim().toLowerCase();
  const all = [...lower.keys()].filter((point) => lower[point].includes(wanted));
  found = wanted === "" ? null : new Set(all);
  const exact = all.find((point) => lower[point].replace(/^·/, "") === wanted);
  keep(found === null ? -1 : exact ?? all[0] ?? -1);
};
document.getElementById("closer").onclick = () => zoom(1.4);
document.getElementById("further").onclick = () => zoom(1 / 1.4);
document.getElementById("whole").onclick = showAll;
for (const name of Object.keys(data.views)) choice.append(new Option(name));
choice.onchange = () => {
  places = data.views[choice.value];
  showAll();
};

function drawLegend() {
  const used = new Set(data.kind), parts = [];
  data.kinds.forEach((kind, index) => {
    if (!used.has(index)) return;
    const part = element("span", ""), mark = element("i", "");
    mark.style.background = kind[dark.matches ? 2 : 1];
    part.append(mark, kind[0]);
    parts.push(part);
  });
  document.getElementById("legend").replaceChildren(...parts);
}

dark.onchange = () => {
  drawLegend();
  draw();
};
new ResizeObserver(draw).observe(canvas);
drawLegend();
kept = data.marked.length ? data.ids.indexOf(data.marked[0]) : -1;
tell(kept);
showAll();
