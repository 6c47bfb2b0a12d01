// How the widget looks: quiet by default, coloured by the `--chimein-*` properties that a site may set on itself.
export const STYLE = `
:host { all: initial !important; position: static !important; display: block !important; }
@media print { :host { display: none !important; } }
.root {
  all: initial; --accent: var(--chimein-accent, #3650c9); --on-accent: var(--chimein-on-accent, #fff);
  --surface: var(--chimein-surface, #fff); --text: var(--chimein-text, #1a1d24); --muted: var(--chimein-muted, #5a6270);
  --soft: var(--chimein-soft, #f2f3f6); --line: var(--chimein-line, #dfe2e8); --radius: var(--chimein-radius, 16px);
  --shadow: 0 1px 2px rgba(16,20,32,.08), 0 12px 40px rgba(16,20,32,.18);
  font: 15px/1.5 var(--chimein-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif);
  color: var(--text); color-scheme: light; -webkit-font-smoothing: antialiased;
}
@media (prefers-color-scheme: dark) { .root {
  --accent: var(--chimein-accent, #9db0ff); --on-accent: var(--chimein-on-accent, #12172e);
  --surface: var(--chimein-surface, #1e2128); --text: var(--chimein-text, #f0f2f5); --muted: var(--chimein-muted, #a9b1be);
  --soft: var(--chimein-soft, #2b2f38); --line: var(--chimein-line, #3a404b);
  --shadow: 0 0 0 1px rgba(255,255,255,.07), 0 12px 40px rgba(0,0,0,.55); color-scheme: dark;
} }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
button, textarea { font: inherit; color: inherit; margin: 0; border: 0; background: none; letter-spacing: inherit; }
button, .button { cursor: pointer; -webkit-tap-highlight-color: transparent; }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
[tabindex="-1"]:focus-visible { outline: none; }
svg { display: block; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.icon { display: grid; place-items: center; width: 36px; height: 36px; padding: 0; border-radius: 50%; color: var(--muted); flex: none; }
.icon:hover { background: var(--soft); color: var(--text); }
.button { display: block; width: 100%; padding: 12px 20px; border-radius: calc(var(--radius) * .625); text-align: center;
  text-decoration: none; font-weight: 600; line-height: 1.4; background: var(--accent); color: var(--on-accent); overflow-wrap: anywhere; }
.button:hover { filter: brightness(1.07); }
.button:active { filter: brightness(.96); }
.link { padding: 8px 12px; border-radius: 8px; color: var(--muted); font-size: 14px; font-weight: 500; }
.link:hover { color: var(--text); background: var(--soft); }
.title { margin: 0; font-weight: 650; overflow-wrap: anywhere; text-wrap: balance; }
.body { margin: 0; white-space: pre-line; overflow-wrap: anywhere; }
.picture { display: block; max-width: 100%; background: var(--soft); object-fit: cover; }

dialog { position: fixed; inset: 0; margin: auto; padding: 0; border: 0; width: min(420px, calc(100vw - 32px)); max-width: none;
  display: flex; flex-direction: column;
  max-height: min(680px, calc(100vh - 32px)); max-height: min(680px, calc(100dvh - 32px)); height: fit-content;
  background: var(--surface); color: var(--text); border-radius: var(--radius); box-shadow: var(--shadow);
  overflow: auto; overscroll-behavior: contain; z-index: 2147483002; }
dialog::backdrop { background: rgba(14,17,24,.42); }
dialog .picture { width: 100%; aspect-ratio: 16/9; flex: none; }
dialog .icon { position: sticky; inset-block-start: 12px; order: -1; align-self: flex-end; margin: 12px; margin-block-end: -48px; z-index: 1; background: var(--surface); }
dialog .icon:hover { background: var(--soft); }
dialog .inner { padding: 28px; display: grid; gap: 12px; }
dialog .title { font-size: 21px; line-height: 1.3; }
dialog .inner > :first-child { padding-inline-end: 28px; }
dialog .picture ~ .inner > :first-child { padding-inline-end: 0; }
dialog .body { color: var(--muted); }
dialog .actions { display: grid; gap: 8px; margin-block-start: 8px; justify-items: center; }
dialog .thanks { margin: 0; padding: 10px; color: var(--muted); text-align: center; text-wrap: balance; }

.composer { display: flex; align-items: flex-end; gap: 8px; width: 100%; padding: 6px; border: 1px solid var(--line);
  border-radius: calc(var(--radius) * .75); background: var(--surface); }
.composer:focus-within { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.composer textarea { flex: 1; min-width: 0; height: 36px; max-height: 120px; padding: 7px 8px; resize: none; line-height: 22px; outline: none; }
.composer textarea::placeholder { color: var(--muted); opacity: 1; }
.composer .send { width: 36px; height: 36px; padding: 0; display: grid; place-items: center; border-radius: 50%; background: var(--accent); color: var(--on-accent); flex: none; }
.composer .send[aria-disabled=true] { background: var(--soft); color: var(--muted); cursor: default; }

.corner { position: fixed; inset-block-end: var(--chimein-offset-y, 20px); inset-inline-end: var(--chimein-offset-x, 20px);
  z-index: 2147483001; display: flex; flex-direction: column; align-items: flex-end; gap: 12px; max-width: calc(100vw - 24px); }
.launcher { position: relative; display: grid; place-items: center; width: 54px; height: 54px; padding: 0; border-radius: 50%; background: var(--accent);
  color: var(--on-accent); box-shadow: var(--shadow); }
.badge { position: absolute; inset-block-start: -3px; inset-inline-end: -3px; min-width: 21px; padding: 0 5px; border-radius: 11px;
  background: var(--surface); color: var(--text); border: 1px solid var(--line); font-size: 12px; font-weight: 650; line-height: 19px; }
.launcher:hover { filter: brightness(1.07); }
.teaser { position: relative; width: 330px; max-width: 100%; background: var(--surface); border-radius: var(--radius); box-shadow: var(--shadow); }
.teaser .open { display: flex; gap: 12px; width: 100%; padding: 16px; padding-inline-end: 44px; border-radius: inherit; text-align: start; }
.teaser .icon { position: absolute; inset-block-start: 8px; inset-inline-end: 8px; width: 32px; height: 32px; }
.teaser .words { min-width: 0; display: grid; gap: 2px; }
.teaser .title { font-size: 15px; line-height: 1.4; }
.teaser .body { color: var(--muted); font-size: 14px; line-height: 1.45; display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; }
.teaser .picture { width: 56px; height: 56px; border-radius: calc(var(--radius) * .625); flex: none; }
.never { padding: 4px 8px; border-radius: 8px; color: var(--muted); font-size: 12px; line-height: 1.4; }
.never:hover { color: var(--text); text-decoration: underline; }
.teaser .open:not(:nth-last-child(2)) { padding-block-end: 8px; }
.teaser .open:focus-visible { outline-offset: -4px; }
.teaser .never { display: block; margin: 0 8px 8px; }
.answers { display: grid; gap: 8px; width: 100%; }
.answer { padding: 10px 16px; border: 1px solid var(--muted); border-color: color-mix(in srgb, var(--muted) 75%, var(--surface)); border-radius: calc(var(--radius) * .625); background: var(--surface);
  color: var(--text); text-align: start; line-height: 1.4; overflow-wrap: anywhere; cursor: pointer; }
.answer:hover { border-color: var(--accent); background: var(--soft); }
.said .answer { padding: 8px 12px; font-size: 14px; }
.face { display: grid; place-items: center; width: 36px; height: 36px; border-radius: 50%; flex: none; background: var(--accent); color: var(--on-accent); }


@media (max-width: 480px) {
  dialog { margin-block-end: 12px; width: calc(100vw - 24px); }
  dialog .inner { padding: 24px 20px 20px; }
  .corner { inset-inline-end: 12px; inset-block-end: 12px; }
  .teaser { width: calc(100vw - 24px); }
  .composer textarea { font-size: 16px; }
}
@media (prefers-reduced-motion: no-preference) {
  dialog, .teaser { animation: rise .22s cubic-bezier(.2,.7,.3,1); }
  dialog::backdrop { animation: fade .22s; }
  @keyframes rise { from { opacity: 0; transform: translateY(10px); } }
  @keyframes fade { from { opacity: 0; } }
}
@media (forced-colors: active) { dialog, .teaser, .launcher { border: 1px solid; } }
`;
