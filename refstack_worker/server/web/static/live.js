"use strict";
// Everything works without this file. It follows a run as it goes, keeps lists fresh, shows times in the reader's own
// zone, and asks before something is lost.
(() => {
  const text = (id, value) => { const at = document.getElementById(id); if (at) at.textContent = value; };
  const many = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

  const lasting = (seconds) => seconds < 60 ? `${Math.round(seconds)} s` : seconds < 3600
    ? `${Math.floor(seconds / 60)} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s`
    : `${Math.floor(seconds / 3600)} h ${String(Math.floor(seconds % 3600 / 60)).padStart(2, "0")} min`;
  const ago = (seconds) => seconds >= 86400 ? `${Math.floor(seconds / 86400)} d ago` : seconds >= 3600
    ? `${Math.floor(seconds / 3600)} h ago` : seconds >= 60 ? `${Math.floor(seconds / 60)} min ago` : "just now";
  const zoned = (date) => date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const times = (root) => root.querySelectorAll("time[datetime]").forEach((one) => {
    const date = new Date(one.dateTime);
    if (isNaN(date)) return;
    one.title = `${zoned(date)} (${Intl.DateTimeFormat().resolvedOptions().timeZone})`;
    if ("ago" in one.dataset) one.textContent = ago((Date.now() - date) / 1000);
    else if ("clock" in one.dataset) one.textContent = date.toLocaleTimeString();
    else one.textContent = zoned(date);
  });

  const badge = (run, words) => {
    const at = document.querySelector("#state .state"), [word, icon, kind] = words[run.state] || [run.state, "", "busy"];
    if (at.dataset.word === word) return;
    at.dataset.word = word;
    at.className = `state ${kind}${kind === "busy" ? " live" : ""}`;
    const sign = document.createElement("span");
    sign.setAttribute("aria-hidden", "true");
    sign.textContent = icon;
    at.replaceChildren(sign, ` ${word}`);
  };
  const title = document.title.replace(/^[^:]*: /, "");

  const elapsed = document.getElementById("elapsed");
  let began = elapsed && elapsed.dataset.elapsed ? Date.now() - 1000 * elapsed.dataset.elapsed : 0;
  const elapse = () => text("elapsed", began ? `running for ${lasting((Date.now() - began) / 1000)}` : "");
  if (elapsed) setInterval(elapse, 1000);

  const show = (section, run, words) => {
    const progress = run.progress, done = progress.done || 0, total = progress.total || 0;
    badge(run, words);
    if (total) {
      const bar = document.getElementById("bar");
      bar.max = total; bar.value = done;
      text("done", `${done} of ${many(total, "test")}`);
    } else text("done", done ? many(done, "test") : run.state === "queued" ? "Waiting to start" : "Starting");
    document.title = `${total ? `${Math.floor(100 * done / total)} % ` : ""}${(words[run.state] || [run.state])[0]}: ${title}`;
    const tally = document.querySelectorAll("#tally span");
    ["passed", "failed", "skipped"].forEach((name, at) => { tally[at].textContent = `${progress[name] || 0} ${name}`; });
    text("left", progress.seconds_left ? `about ${lasting(progress.seconds_left)} left` : "");
    text("now", progress.test || run.message);
    const silent = document.getElementById("silent");
    silent.hidden = !run.silent_seconds;
    if (run.silent_seconds) silent.textContent = `${run.worker} has not reported for ${lasting(run.silent_seconds)}. If it stays silent, the run is taken away from this node.`;
    if (run.state === "queued") began = 0;
    else if (!began) began = Date.now();
    elapse();
    const place = document.getElementById("place");
    if (place && run.state !== "queued") place.remove();
  };

  const follow = (section) => {
    const words = JSON.parse(section.dataset.words), away = document.getElementById("away");
    const source = new EventSource(`/runs/${section.dataset.run}/events?after=${section.dataset.after}`);
    let heard = Date.now();
    const here = () => { heard = Date.now(); away.hidden = true; };
    // the server sends a word every 15 seconds; a connection that died without a word is noticed by its silence
    setInterval(() => { if (Date.now() - heard > 40000) away.hidden = false; }, 5000);
    source.addEventListener("open", here);
    source.addEventListener("alive", here);
    // a server with many watchers ends a stream, and the browser comes back after 3 seconds: nothing is interrupted
    const missed = () => { if (Date.now() - heard > 5000) away.hidden = false; };
    source.addEventListener("error", () => { if (source.readyState !== EventSource.CLOSED) setTimeout(missed, 6000); else location.reload(); });
    source.addEventListener("run", (event) => { here(); show(section, JSON.parse(event.data), words); });
    source.addEventListener("message", (event) => {
      here();
      const said = JSON.parse(event.data), line = document.createElement("li");
      const time = document.createElement("time"), what = document.createElement("span");
      time.dateTime = said.time;
      time.dataset.clock = "";
      what.textContent = said.text;
      line.append(time, " ", what);
      times(line);
      document.getElementById("timeline").append(line);
    });
    source.addEventListener("end", () => { source.close(); location.reload(); });
  };
  document.querySelectorAll("[data-run]").forEach(follow);
  times(document);

  const MAX_LINES = 2000;
  const consoleLine = (one) => {
    const line = document.createElement("div"), time = document.createElement("span"), what = document.createElement("span");
    const isError = one.event === "test" ? one.status === "failed" : one.status >= 400;
    line.id = `c${one.number}`;
    line.className = `${one.event}${isError ? " error" : ""}`;
    time.className = "soft";
    time.textContent = new Date(one.time * 1000).toLocaleTimeString();
    what.textContent = one.event === "test"
      ? `${{ started: "▸", passed: "✓", failed: "✗", skipped: "–" }[one.status]} ${one.test}${one.status === "started" ? "" : ` ${one.status} in ${one.seconds.toFixed(1)} s`}`
      : `    ${one.status} ${one.method} ${one.service ? `${one.service} ` : ""}${one.path} ${one.ms} ms${one.request_id ? ` ${one.request_id}` : ""}`;
    line.append(time, " ", what);
    return line;
  };
  document.querySelectorAll("[data-console]").forEach((section) => {
    const shown = document.getElementById("console"), onlyErrors = document.getElementById("only-errors");
    const follows = document.getElementById("follow"), away = document.getElementById("away");
    const notes = {};
    let after = "", attempt = 0, wait = 1000, lost = false;
    onlyErrors.addEventListener("change", () => shown.classList.toggle("only-errors", onlyErrors.checked));
    const more = async () => {
      try {
        const answer = await fetch(`/runs/${section.dataset.console}/console${after === "" ? "" : `?after=${after}`}`, { credentials: "same-origin", signal: AbortSignal.timeout(8000) });
        if (lost && away) away.hidden = true;
        lost = false;
        if (answer.ok) {
          const { lines, attempt: current, dropped } = await answer.json();
          if (current !== attempt) {
            // the next attempt counts its lines from 0 again
            attempt = current;
            shown.replaceChildren();
            if (after !== "") { after = ""; return void more(); }
          }
          lines.forEach((one) => { shown.append(consoleLine(one)); after = one.number; });
          if (dropped) notes.dropped = `The node could not send ${many(dropped, "line")}.`;
          while (shown.children.length > MAX_LINES) {
            shown.firstChild.remove();
            notes.cut = `The first lines are left out here: refstack-queue run log ${section.dataset.console} prints all.`;
          }
          text("console-note", Object.values(notes).join(" "));
          if (lines.length) { section.hidden = false; if (follows.checked) shown.scrollTop = shown.scrollHeight; }
          wait = lines.length >= 100 ? 100 : lines.length ? 500 : 1000;
          if (!lines.length && "ended" in section.dataset) return;
        }
      } catch {
        // a server that stands still keeps the stream of events open
        lost = true;
        if (away) away.hidden = false;
        wait = 3000;
      }
      setTimeout(more, document.hidden ? 10000 : wait);
    };
    more();
  });

  const refresh = async () => {
    const parts = document.querySelectorAll("[data-refresh]");
    times(document);
    if (!parts.length || document.hidden) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      times(fresh);
      parts.forEach((old) => {
        const now = fresh.querySelector(`[data-refresh="${old.dataset.refresh}"]`);
        // not while the reader is using it
        if (now && !old.contains(document.activeElement) && now.innerHTML !== old.innerHTML) old.replaceChildren(...now.childNodes);
      });
    } catch { /* the server is away: the next round may find it */ }
  };
  if (document.querySelector("[data-refresh], [data-ago]")) setInterval(refresh, 5000);

  document.querySelectorAll("button[data-expand], button[data-copy]").forEach((button) => { button.hidden = false; });
  const focus = document.querySelector("[data-focus]");
  if (focus) focus.focus();

  const by = document.getElementById("f-by"), version = document.querySelector('label[for="f-version"]');
  const name = () => { version.textContent = by.value === "release" ? "OpenStack release" : "Tempest version"; };
  if (by && version) { name(); by.addEventListener("change", name); }
  // an empty version means the one that fits the program: it is shown in the empty field
  const program = document.getElementById("f-program"), typed = document.getElementById("f-version");
  const fits = () => { typed.placeholder = (program.selectedOptions[0] && program.selectedOptions[0].dataset.tempest) || ""; };
  if (program && typed) { fits(); program.addEventListener("change", fits); }
  const cloud = document.getElementById("f-cloud_id"), fields = document.getElementById("passwords");
  if (cloud && fields) cloud.addEventListener("change", () => {
    const chosen = cloud.selectedOptions[0];
    if ("needsPasswords" in chosen.dataset || cloud.value === "other") fields.open = true;
  });

  document.addEventListener("submit", (event) => {
    const form = event.target, question = event.submitter && event.submitter.dataset.confirm;
    if (question && !confirm(question)) return event.preventDefault();
    if (!("once" in form.dataset)) return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
  });
  // a page that is shown again from the browser's memory may be sent again
  addEventListener("pageshow", () => document.querySelectorAll("[data-sent]").forEach((form) => {
    delete form.dataset.sent;
    form.querySelectorAll("[aria-busy]").forEach((one) => one.removeAttribute("aria-busy"));
  }));
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
    const expand = event.target.closest("[data-expand]"), copy = event.target.closest("[data-copy]");
    if (expand) {
      const all = document.getElementById(expand.dataset.expand).querySelectorAll("details");
      const open = [...all].some((one) => !one.open);
      all.forEach((one) => { one.open = open; });
      expand.textContent = open ? "Collapse all" : "Expand all";
    }
    if (copy) navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent).then(() => { copy.textContent = "Copied"; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });
  // closed details are not printed
  addEventListener("beforeprint", () => document.querySelectorAll("details:not(.menu):not([open])").forEach((one) => { one.open = true; one.dataset.printed = ""; }));
  addEventListener("afterprint", () => document.querySelectorAll("[data-printed]").forEach((one) => { one.open = false; delete one.dataset.printed; }));
})();
