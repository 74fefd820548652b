/** Light, dark, or as the system has it; kept for this browser. */

const KEY = "gearpool.theme";
const THEMES = { auto: "◐", light: "☀", dark: "☾" };

export function installTheme(button) {
  let theme = "auto";
  try {
    theme = localStorage.getItem(KEY) ?? "auto";
  } catch {
    // the browser keeps nothing for this page
  }
  const apply = () => {
    if (!Object.hasOwn(THEMES, theme)) theme = "auto";
    document.documentElement.dataset.theme = theme;
    button.textContent = THEMES[theme];
    button.setAttribute("aria-label", `Theme: ${theme}`);
    button.title = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // then it holds until the page is closed
    }
    apply();
  });
  apply();
}
