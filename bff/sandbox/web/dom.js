// Creates and finds elements. Values become text nodes or attributes, never HTML.

export function find(id) {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`no element #${id}`);
  return node;
}

/** `el("p", {class: "fine", onclick: f}, "text", node)`; attributes that are null or false are skipped. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Replaces the children and restores the focus to the control with the same `data-focus`. */
export function fill(parent, children, { fallback = null } = {}) {
  const active = document.activeElement;
  const key = parent.contains(active) ? active.dataset.focus : undefined;
  parent.replaceChildren(...children);
  if (key === undefined) return;
  const again = parent.querySelector(`[data-focus="${CSS.escape(key)}"]`) ?? fallback;
  again?.focus();
}

export function facts(list, pairs) {
  list.replaceChildren(
    ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value))]),
  );
}

export function money(amount, currency) {
  if (typeof amount !== "number" || !Number.isFinite(amount)) return "–";
  if (!/^[A-Z]{3}$/.test(currency ?? "")) return amount.toFixed(2);
  return new Intl.NumberFormat("en", { style: "currency", currency }).format(amount);
}

/** Formats a duration in its largest unit. */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  if (seconds < 0) return "no end";
  for (const [unit, size] of [["day", 86400], ["h", 3600], ["min", 60]]) {
    const whole = Math.floor(seconds / size);
    if (whole >= 1) return `${whole} ${unit}${unit === "day" && whole > 1 ? "s" : ""}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** Shows a message where it is visible and announced: in the open dialog, otherwise on the page. */
export function notify(text, tone = "good") {
  const open = [...document.querySelectorAll("dialog[open]")].at(-1);
  const place = open?.querySelector("[data-status]") ?? find("messages");
  const message = el("p", { class: `message ${tone}` }, text);
  place.replaceChildren(message);
  setTimeout(() => message.remove(), tone === "good" ? 7000 : 14000);
}

export function notifyError(error) {
  if (error?.reported === true) return;
  notify(error?.message || "That did not work.", "bad");
  if (error?.name !== "ApiError") console.error(error);
}

/** Runs one action of a control at a time. The control is not `disabled`, so that it keeps the focus. */
export async function once(control, action) {
  if (control.getAttribute("aria-busy") === "true") return;
  control.setAttribute("aria-busy", "true");
  try {
    await action();
  } catch (error) {
    notifyError(error);
  } finally {
    control.removeAttribute("aria-busy");
  }
}

export function onClick(id, action) {
  const control = find(id);
  control.addEventListener("click", () => once(control, action));
}

export function onSubmit(id, action) {
  const form = find(id);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    once(form.querySelector("[type=submit]"), () => action(Object.fromEntries(new FormData(form)), form));
  });
}

export function openDialog(id) {
  const dialog = find(id);
  find("messages").replaceChildren();
  dialog.querySelector("[data-status]")?.replaceChildren();
  if (!dialog.open) dialog.showModal();
  return dialog;
}

export function wireDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("pointerdown", (event) => {
      const box = dialog.getBoundingClientRect();
      const across = event.clientX < box.left || event.clientX > box.right;
      const along = event.clientY < box.top || event.clientY > box.bottom;
      if (event.target === dialog && (across || along)) dialog.close();
    });
    for (const control of dialog.querySelectorAll("[data-close]")) control.addEventListener("click", () => dialog.close());
  }
}
