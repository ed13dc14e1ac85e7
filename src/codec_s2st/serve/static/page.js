// Asks for a translation, waits for it, shows it.

import {showSound, startRecording, toBase64} from "/sound.js";

const find = id => document.getElementById(id);
const languageNames = new Intl.DisplayNames(["en"], {type: "language", fallback: "code"});

let about = null, chosen = null, recording = null, running = null, shown = [];

function languageName(code) {
  try { return languageNames.of(code); } catch { return code; }
}

function say(text) { find("status").textContent = text; }

function complain(text) {
  find("error").textContent = text;
  find("error").hidden = !text;
  if (text) say("");
}

function fill(select, entries) {
  const before = select.value;
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  if (entries.some(([value]) => value === before)) select.value = before;
}

const model = () => about.models.find(one => one.name === find("model").value);
const task = () => model().tasks.find(one => one.name === find("task").value);

function update() {
  fill(find("task"), model().tasks.map(one => [one.name, `${one.title} (${one.name})`]));
  fill(find("source"), Object.keys(model().targets).map(code => [code, languageName(code)]));
  fill(find("target"), (model().targets[find("source").value] ?? []).map(code => [code, languageName(code)]));
  const now = task();
  find("target-field").hidden = !now.sides.includes("target");
  find("speech-field").hidden = now.input !== "speech";
  find("text-field").hidden = now.input !== "text";
  find("voice-field").hidden = now.voice === "none";
  const seconds = Math.min(about.max_seconds, model().max_seconds);
  find("formats").textContent = `wav, flac, ogg, opus or mp3, up to ${Math.floor(10 * seconds) / 10} s and ${about.max_bytes / 1e6} MB`;
  find("text").maxLength = about.max_text_chars;
  find("text-hint").textContent = `up to about ${model().max_text_tokens} tokens`;
}

function choose(blob, name) {
  if (blob.size > about.max_bytes)
    return complain(`${name} has ${(blob.size / 1e6).toFixed(1)} MB, but at most ${about.max_bytes / 1e6} MB are taken`);
  complain("");
  chosen = blob;
  find("chosen").hidden = false;
  find("chosen-name").textContent = name;
  URL.revokeObjectURL(find("preview").src);
  find("preview").src = URL.createObjectURL(blob);
}

async function toggleRecording() {
  if (recording?.pending) return;
  const button = find("record");
  if (!recording) {
    recording = {pending: true};
    try {
      complain("");
      recording = await startRecording(level => { find("level").value = level; });
    } catch (error) {
      recording = null;
      const reason = {NotAllowedError: "the browser was not allowed to use it", NotFoundError: "there is none"}[error.name] ?? error.message;
      return complain(`The microphone cannot be used: ${reason}.`);
    }
    const begin = Date.now(), longest = Math.min(about.max_seconds, model().max_seconds);
    button.setAttribute("aria-pressed", "true");
    find("level").hidden = false;
    const tick = () => {
      const seconds = (Date.now() - begin) / 1000;
      find("record-label").textContent = `Stop (${seconds.toFixed(0)} s)`;
      if (seconds > longest - 0.5) toggleRecording();
    };
    recording.timer = setInterval(tick, 200);
    tick();
  } else {
    const done = recording;
    recording = {pending: true};
    clearInterval(done.timer);
    try { choose(await done.stop(), "Your recording"); } catch (error) { complain(`Nothing was recorded: ${error.message}.`); }
    recording = null;
    button.setAttribute("aria-pressed", "false");
    find("level").hidden = true;
    find("record-label").textContent = "Record again";
  }
}

async function ask(path, options) {
  let response;
  try { response = await fetch(path, options); } catch { throw new Error("The server cannot be reached. Has it ended?"); }
  const answer = response.status === 204 ? {} : await response.json().catch(() => ({error: `the server answers ${response.status}`}));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function submit(event) {
  event.preventDefault();
  if (running) return;
  complain("");
  const now = task(), request = {model: model().name, task: now.name, source: find("source").value};
  if (!find("target-field").hidden) request.target = find("target").value;
  if (now.input === "speech" && !chosen) return complain("Record something first, or choose a file.");
  if (now.input === "text" && !find("text").value.trim()) return complain("Write something first.");
  const voice = find("voice").files[0];
  if (now.voice === "required" && !voice) return complain("This task speaks in a voice that is given: choose a recording of it.");
  if (now.voice !== "none" && voice && voice.size + (chosen?.size ?? 0) > about.max_bytes)
    return complain(`Recording and voice together have more than ${about.max_bytes / 1e6} MB.`);
  const mine = running = {};
  find("submit").disabled = true;
  find("cancel").hidden = false;
  say("Sending …");
  try {
    if (now.input === "speech") request.audio = await toBase64(chosen);
    else request.text = find("text").value;
    if (now.voice !== "none" && voice) request.voice = await toBase64(voice);
    const headers = {"Content-Type": "application/json"};
    mine.job = (await ask("/api/jobs", {method: "POST", headers, body: JSON.stringify(request)})).job;
    if (mine.cancelled) return drop(mine.job);
    const begin = Date.now();
    while (!mine.cancelled) {
      const view = await ask(`/api/jobs/${mine.job}`);
      if (mine.cancelled) return;
      if (view.error) throw new Error(view.error);
      if (view.result) {
        drop(mine.job);
        show(view.result, (Date.now() - begin) / 1000);
        return say(`Done in ${view.result.work_seconds.toFixed(1)} s.`);
      }
      say(view.state === "waiting" ? `Waiting: ${view.position} before you.` : `Computing … ${view.seconds.toFixed(0)} s`);
      await new Promise(done => setTimeout(done, 300));
    }
  } catch (error) {
    if (!mine.cancelled) complain(error.message);
  } finally {
    if (running === mine) stopWaiting();
  }
}

function stopWaiting() {
  running = null;
  find("submit").disabled = false;
  find("cancel").hidden = true;
}

function drop(job) { if (job) fetch(`/api/jobs/${job}`, {method: "DELETE", keepalive: true}).catch(() => {}); }

function cancel() {
  if (!running) return;
  running.cancelled = true;
  drop(running.job);
  stopWaiting();
  say("Cancelled.");
}

function addText(text, language, kind) {
  const block = document.createElement("div"), who = document.createElement("span"), words = document.createElement("p");
  block.className = kind ? "said step" : "said";
  who.textContent = (kind ? `${kind}, ` : "") + languageName(language);
  words.textContent = text || "(nothing)";
  words.lang = language;
  block.append(who, words);
  find("texts").append(block);
}

function show(result, seconds) {
  shown.forEach(url => URL.revokeObjectURL(url));
  shown = [];
  for (const id of ["remarks", "texts", "sounds", "times"]) find(id).replaceChildren();
  for (const remark of result.remarks) find("remarks").append(Object.assign(document.createElement("li"), {textContent: remark}));
  for (const step of result.steps) addText(step.text, step.lang, "On the way");
  if (result.text !== null) addText(result.text, result.text_lang, "");
  const longest = Math.max(result.input?.seconds ?? 0, result.output?.seconds ?? 0);
  for (const [sound, title, name] of [[result.output, "The model says", `${result.task}-${result.target}`], [result.input, "The model heard", "input"]]) {
    if (!sound) continue;
    const element = find("sound").content.cloneNode(true).firstElementChild;
    find("sounds").append(element);
    shown.push(...showSound(element, sound, {title, name, longest, frameRate: result.frame_rate, sizes: result.codebook_sizes}));
  }
  const times = [["Model", result.model.replace(/^codec_s2st_/, "")], ["Computing", `${result.work_seconds.toFixed(2)} s`]];
  if (result.real_time_factor !== null)
    times.push(["Real-time factor", `${result.real_time_factor.toFixed(2)}×`, `seconds of work for a second of ${result.input ? "the recording" : "speech"}; below 1 is faster than speaking`]);
  times.push(["With waiting", `${seconds.toFixed(1)} s`]);
  for (const [name, value, hint] of times) {
    const group = document.createElement("div");
    group.append(Object.assign(document.createElement("dt"), {textContent: name}), Object.assign(document.createElement("dd"), {textContent: value}));
    if (hint) group.append(Object.assign(document.createElement("dd"), {className: "hint", textContent: hint}));
    find("times").append(group);
  }
  find("result").hidden = false;
  find("result").focus({preventScroll: true});
  find("result").scrollIntoView({block: "start"});
}

async function begin() {
  try { about = await ask("/api/about"); } catch (error) { return complain(error.message); }
  fill(find("model"), about.models.map(one => [one.name, one.name.replace(/^codec_s2st_/, "")]));
  update();
  for (const id of ["model", "task", "source"]) find(id).addEventListener("change", update);
  find("audio").addEventListener("change", event => { const file = event.target.files[0]; if (file) choose(file, file.name); event.target.value = ""; });
  const field = find("speech-field");
  field.addEventListener("dragover", event => { event.preventDefault(); field.classList.add("over"); });
  field.addEventListener("dragleave", () => field.classList.remove("over"));
  field.addEventListener("drop", event => {
    event.preventDefault();
    field.classList.remove("over");
    const file = event.dataTransfer.files[0];
    if (file) choose(file, file.name);
  });
  find("record").addEventListener("click", toggleRecording);
  find("form").addEventListener("submit", submit);
  find("cancel").addEventListener("click", cancel);
  addEventListener("pagehide", () => drop(running?.job));
  // Two at once cannot be understood.
  document.addEventListener("play", event => {
    for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
  }, true);
  document.documentElement.dataset.ready = "true";
}

begin();
