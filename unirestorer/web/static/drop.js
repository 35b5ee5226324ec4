// The drop area: takes a photo by click, drop or paste anywhere on the page, sends it, and tells the server side.
const input = element.querySelector("input[type=file]");
const area = element.querySelector(".ur-drop");
const most = Number(area.dataset.most);
const pill = document.createElement("div");
pill.className = "ur-pill";
pill.setAttribute("role", "status");
document.body.append(pill);

const say = (text) => {
  pill.textContent = text;
  pill.classList.toggle("ur-shown", Boolean(text));
};
const refuse = (line) => {
  say("");
  trigger("refused", { line });
};

function send(file) {
  if (file.size > most) {
    return refuse(`${file.name}: more than ${most / 1e6} MB; make it smaller, or use \`unirestorer restore\``);
  }
  const request = new XMLHttpRequest();
  request.open("POST", "photos?name=" + encodeURIComponent(file.name));
  request.responseType = "json";
  request.upload.onprogress = (event) => say(`Sending ${file.name} … ${Math.round((100 * event.loaded) / event.total)} %`);
  request.onerror = () => refuse(`${file.name}: the server did not take it; is it still running?`);
  request.onload = () => {
    say("");
    const answer = request.response || {};
    if (request.status === 200) trigger("photo", { key: answer.key });
    else refuse(answer.error || `${file.name}: refused (${request.status})`);
  };
  say(`Sending ${file.name} …`);
  request.send(file);
}

input.addEventListener("change", () => {
  if (input.files.length) send(input.files[0]);
  input.value = "";
});
area.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    input.click();
  }
});
element.addEventListener("click", (event) => {
  const example = event.target.closest("[data-example]");
  if (example) trigger("example", { name: example.dataset.example });
});

const files = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
let depth = 0;
const over = (by) => {
  depth = Math.max(0, depth + by);
  document.body.classList.toggle("ur-over", depth > 0);
};
window.addEventListener("dragenter", (event) => files(event) && over(1));
window.addEventListener("dragleave", (event) => files(event) && over(-1));
window.addEventListener("dragover", (event) => files(event) && event.preventDefault());
window.addEventListener("drop", (event) => {
  if (!files(event)) return;
  event.preventDefault();
  depth = 0;
  over(0);
  if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
});
window.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) send(file);
});
