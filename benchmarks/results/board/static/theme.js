// Runs before the page is drawn: the chosen colour scheme, and that scripts run at all.
"use strict";
document.documentElement.classList.add("js");
try {
  const theme = localStorage.getItem("genenvs-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* no storage: the system decides */ }
