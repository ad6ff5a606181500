"use strict";
const { disks, steps, pegs } = JSON.parse(document.getElementById("moves").textContent);
const [play, at, speed, said, picture] = ["play", "at", "speed", "moved", "pegs"].map((id) => document.getElementById(id));
const height = Math.min(24, 190 / disks);

function draw(kind, attributes) {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) drawn.setAttribute(name, value);
  return picture.appendChild(drawn);
}

draw("rect", { x: 5, y: 208, width: 590, height: 6, rx: 3, class: "wood" });
for (const peg of [0, 1, 2]) draw("rect", { x: 97 + 200 * peg, y: 10, width: 6, height: 200, rx: 3, class: "wood" });
const drawn = Array.from({ length: disks }, (_, disk) => {
  const width = 24 + (156 * (disk + 1)) / disks;
  const hue = Math.round(210 + (150 * disk) / disks);
  return { width, shape: draw("rect", { width, height: height - 1.5, rx: Math.min(6, height / 3), fill: `hsl(${hue} 65% 55%)` }) };
});

function show() {
  const frame = Number(at.value);
  pegs[frame].forEach((peg, place) => peg.forEach((disk, above) => {
    const { width, shape } = drawn[disk - 1];
    shape.setAttribute("x", 100 + 200 * place - width / 2);
    shape.setAttribute("y", 208 - height * (above + 1));
  }));
  said.textContent = `after ${steps[frame].toLocaleString("en")} steps`;
}

let playing = false, due = 0;
function tick(now) {
  if (!playing) return;
  const pause = 1000 / 2 ** speed.value;
  if (now >= due) {
    const more = Math.max(1, Math.min(20, Math.floor((now - due) / pause) + 1));
    at.value = Number(at.value) + (due ? more : 1);
    due = now + pause;
    show();
  }
  if (at.value === at.max) stop();
  else requestAnimationFrame(tick);
}

function stop() {
  playing = false;
  play.textContent = "Play";
}

play.addEventListener("click", () => {
  if (playing) return stop();
  if (at.value === at.max) at.value = 0;
  playing = true;
  due = 0;
  play.textContent = "Pause";
  requestAnimationFrame(tick);
});
at.addEventListener("input", () => { stop(); show(); });
at.max = steps.length - 1;
speed.value = Math.log2(steps.length / 40); // all of it within a minute
show();
