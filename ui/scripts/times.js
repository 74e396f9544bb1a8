// Keeps "3 min ago" and running seconds fresh, in the same words as the server's.
const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86_400, 3600, "h"], [Infinity, 86_400, "d"]];

export function ago(seconds) {
  if (seconds < 10) return "just now";
  const [, unit, name] = STEPS.find(([below]) => seconds < below);
  return `${Math.floor(seconds / unit)} ${name} ago`;
}

export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function put(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function tick() {
  const now = Date.now();
  const since = (moment) => Math.max(0, (now - Date.parse(moment)) / 1000);
  for (const node of document.querySelectorAll("time[data-ago]")) put(node, ago(since(node.dateTime)));
  for (const node of document.querySelectorAll("[data-since]")) put(node, duration(since(node.dataset.since)));
}
setInterval(() => { if (!document.hidden) tick(); }, 1000);
