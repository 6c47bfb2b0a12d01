// How an answer is noticed from elsewhere: a number before the tab's title, and a soft sound where the site wants one.
const COUNTED = /^\(\d+\) /;

/** Puts `unread` before the title of a tab that is out of sight, and takes it away again. */
export function count(unread) {
  const plain = document.title.replace(COUNTED, '');
  const title = document.hidden && unread ? `(${unread}) ${plain}` : plain;
  if (title !== document.title) document.title = title;
}

/** Two soft notes; silent where the browser wants a gesture first. */
export function chime() {
  try {
    const audio = new (window.AudioContext || window.webkitAudioContext)();
    const end = audio.currentTime + 0.7;
    [660, 880].forEach((frequency, i) => {
      const from = audio.currentTime + i * 0.12;
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      tone.frequency.value = frequency;
      volume.gain.setValueAtTime(0, from);
      volume.gain.linearRampToValueAtTime(0.06, from + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, end - 0.1);
      tone.connect(volume).connect(audio.destination);
      tone.start(from);
      tone.stop(end);
    });
    setTimeout(() => audio.close(), 1500);
  } catch (e) {
    // No sound then.
  }
}
