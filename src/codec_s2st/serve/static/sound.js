// Records from the microphone, writes wav, and draws sounds and tokens.

const HEADER_BYTES = 44;

// Returns a 16-bit wav of one channel.
export function writeWav(samples, sampleRate) {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + 2 * samples.length));
  const text = (place, value) => [...value].forEach((char, i) => view.setUint8(place + i, char.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, view.byteLength - 8, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true); view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(HEADER_BYTES + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, value))), true));
  return new Blob([view], {type: "audio/wav"});
}

// Begins to record; returns what ends it, `stop()`, with a promise of the wav.
export async function startRecording(onLevel) {
  if (!navigator.mediaDevices || !window.MediaRecorder)
    throw new Error("this browser records only on pages of this machine or through https: open the page as localhost (an SSH tunnel will do), or choose a file");
  // What is meant for calls would change the voice.
  const stream = await navigator.mediaDevices.getUserMedia({audio: {echoCancellation: false, noiseSuppression: false}});
  const context = new AudioContext(), meter = context.createAnalyser(), values = new Float32Array(meter.fftSize);
  context.createMediaStreamSource(stream).connect(meter);
  const recorder = new MediaRecorder(stream), parts = [];
  recorder.addEventListener("dataavailable", event => parts.push(event.data));
  const stopped = new Promise(done => recorder.addEventListener("stop", done));
  recorder.start();
  const timer = setInterval(() => {
    meter.getFloatTimeDomainData(values);
    onLevel(Math.min(1, Math.max(...values.map(Math.abs))));
  }, 60);
  return {
    async stop() {
      clearInterval(timer);
      recorder.stop();
      await stopped;
      stream.getTracks().forEach(track => track.stop());
      try {
        const sound = await context.decodeAudioData(await new Blob(parts, {type: recorder.mimeType}).arrayBuffer());
        const mono = new Float32Array(sound.length);
        for (let channel = 0; channel < sound.numberOfChannels; channel++)
          sound.getChannelData(channel).forEach((value, i) => { mono[i] += value / sound.numberOfChannels; });
        return writeWav(mono, sound.sampleRate);
      } finally {
        await context.close();
      }
    },
  };
}

export function toBlob(base64, type) {
  return new Blob([Uint8Array.from(atob(base64), char => char.charCodeAt(0))], {type});
}

export function toBase64(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => fail(new Error("the file cannot be read")));
    reader.readAsDataURL(blob);
  });
}

// Draws codes [T, Q]: a column a frame, a row a code book, the number as the colour.
export function drawCodes(canvas, codes, sizes) {
  const streams = codes[0].length, height = Math.max(6, Math.min(18, Math.round(144 / streams)));
  canvas.width = codes.length;
  canvas.height = streams * height;
  canvas.style.height = `${canvas.height}px`;
  const drawing = canvas.getContext("2d");
  codes.forEach((frame, t) => frame.forEach((code, q) => {
    const share = code / sizes[q];
    drawing.fillStyle = `hsl(${Math.round(200 + 300 * share)} 65% ${Math.round(30 + 40 * share)}%)`;
    drawing.fillRect(t, q * height, 1, height - (height > 8 ? 1 : 0));
  }));
}

// Fills the template of a sound; `longest` seconds are the whole width, so that two sounds can be compared.
export function showSound(element, sound, {title, name, longest, frameRate, sizes}) {
  const find = selector => element.querySelector(selector);
  const player = find("audio"), time = find(".time"), picture = find(".spectrogram"), canvas = find("canvas"), readout = find(".readout");
  find("h3").textContent = `${title}, ${sound.seconds.toFixed(1)} s`;
  player.src = URL.createObjectURL(toBlob(sound.wav, "audio/wav"));
  player.setAttribute("aria-label", title);
  time.style.width = `${100 * sound.seconds / longest}%`;
  picture.src = URL.createObjectURL(toBlob(sound.spectrogram, "image/png"));
  picture.alt = `Spectrogram: ${title}, up to ${sound.sample_rate / 2000} kHz`;
  const frames = sound.codes.length, streams = frames ? sound.codes[0].length : 0;
  canvas.setAttribute("aria-label", `Tokens: ${title}, ${frames} frames of ${streams}`);
  if (frames) drawCodes(canvas, sound.codes, sizes);
  const summary = `Above, the spectrogram up to ${sound.sample_rate / 2000} kHz; below, ${frames} frames × ${streams} code books, ${frameRate} frames a second.`;
  readout.textContent = summary;
  const at = event => { const box = time.getBoundingClientRect(); return Math.max(0, Math.min(.9999, (event.clientX - box.left) / box.width)); };
  time.addEventListener("pointermove", event => {
    const t = Math.floor(at(event) * frames);
    if (frames) readout.textContent = `Frame ${t} (${(t / frameRate).toFixed(2)} s): ${sound.codes[t].join("  ")}`;
  });
  time.addEventListener("pointerleave", () => { readout.textContent = summary; });
  time.addEventListener("click", event => { player.currentTime = at(event) * sound.seconds; });
  const follow = () => {
    find(".playhead").style.left = `${100 * player.currentTime / sound.seconds}%`;
    if (!player.paused && !player.ended) requestAnimationFrame(follow);
  };
  for (const event of ["play", "seeked", "timeupdate"]) player.addEventListener(event, follow);
  const rows = Array.from({length: streams}, (_, q) => `${q + 1}: ${sound.codes.map(frame => frame[q]).join(" ")}`);
  find("pre").textContent = rows.join("\n");
  const save = find(".save"), tokens = find(".tokens");
  save.href = player.src;
  save.download = `${name}.wav`;
  tokens.href = URL.createObjectURL(new Blob([JSON.stringify({frame_rate: frameRate, codes: sound.codes})], {type: "application/json"}));
  tokens.download = `${name}.tokens.json`;
  return [player.src, picture.src, tokens.href];
}
