"use strict";
// Everything works without this file. It follows a run as it goes, keeps lists fresh, and asks before deleting.
(() => {
  const text = (id, value) => { const at = document.getElementById(id); if (at) at.textContent = value; };

  const follow = (section) => {
    const source = new EventSource(`/runs/${section.dataset.run}/events?after=${section.dataset.after}`);
    let first = "";
    source.addEventListener("run", (event) => {
      const run = JSON.parse(event.data), done = run.progress.done || 0, total = run.progress.total || 0;
      const badge = document.querySelector("#state .state");
      if (badge.textContent !== run.state) { badge.textContent = run.state; badge.className = `state ${run.state}`; }
      if (total) {
        const bar = document.getElementById("bar");
        bar.max = total; bar.value = done;
        text("done", `${done} of ${total} tests`);
      } else if (done) {
        text("done", `${done} tests`);
      }
      const tally = document.querySelectorAll("#tally span"), names = ["passed", "failed", "skipped"];
      names.forEach((name, at) => { tally[at].textContent = `${run.progress[name] || 0} ${name}`; });
      text("now", run.progress.test || run.message);
      if (first && first === "queued" && run.state !== "queued") section.querySelectorAll("p.soft:not(.mono)").forEach((one) => one.remove());
      first = first || run.state;
    });
    source.addEventListener("message", (event) => {
      const said = JSON.parse(event.data), line = document.createElement("li");
      const time = document.createElement("time"), what = document.createElement("span");
      time.textContent = said.time.slice(0, 16).replace("T", " ");
      what.textContent = said.message;
      line.append(time, " ", what);
      document.getElementById("timeline").append(line);
    });
    source.addEventListener("end", () => { source.close(); location.reload(); });
  };
  document.querySelectorAll("[data-run]").forEach(follow);

  const refresh = async () => {
    const parts = document.querySelectorAll("[data-refresh]");
    if (!parts.length || document.hidden) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      parts.forEach((old) => {
        const now = fresh.querySelector(`[data-refresh="${old.dataset.refresh}"]`);
        // not under somebody's fingers
        if (now && !old.contains(document.activeElement) && now.innerHTML !== old.innerHTML) old.replaceChildren(...now.childNodes);
      });
    } catch { /* the server is away: the next round may find it */ }
  };
  if (document.querySelector("[data-refresh]")) setInterval(refresh, 5000);

  document.addEventListener("submit", (event) => {
    const question = event.submitter && event.submitter.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });
})();
