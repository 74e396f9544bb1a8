// Slipway runs `vite build`; nginx serves what lands in dist/.
import "./style.css";

const app = document.querySelector("#app");
app.innerHTML = `<h1>A site built by Vite</h1><button type="button"></button>`;

const button = app.querySelector("button");
let count = 0;
const show = () => (button.textContent = `clicked ${count} times`);
button.addEventListener("click", () => {
  count += 1;
  show();
});
show();
