// How the panel looks; it comes with it.
import { h } from '../dom.js';

const STYLE = `
.panel { display: flex; flex-direction: column; width: 380px; max-width: 100%; height: min(600px, calc(100vh - 40px)); height: min(600px, calc(100dvh - 40px));
  background: var(--surface); border-radius: var(--radius); box-shadow: var(--shadow); overflow: hidden; }
.panel header { display: flex; align-items: center; gap: 12px; min-height: 64px; padding: 12px; padding-inline-start: 16px; border-block-end: 1px solid var(--line); }
.panel header .back:not([hidden]) { margin-inline: -8px -8px; }
.panel header .title { font-size: 16px; line-height: 1.3; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.panel .who { flex: 1; min-width: 0; display: grid; }
.panel .under { color: var(--muted); font-size: 13px; line-height: 1.3; }
.panel .under:empty { display: none; }
.panel .under.online::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-inline-end: 6px; border-radius: 50%; background: #1f9d61; }
.panel .face { position: relative; font-weight: 650; overflow: hidden; }
.face[data-letter]:not(.shown)::before { content: attr(data-letter); }
.face.shown { background: var(--soft); }
.face img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; }
.face.tiny { width: 20px; height: 20px; font-size: 11px; }
.panel [dir=rtl] .back svg, .root[dir=rtl] .back svg { transform: scaleX(-1); }
.inside, .view { flex: 1; min-height: 0; display: flex; flex-direction: column; }
.muted { color: var(--muted); }
.cut { min-width: 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
input { font: inherit; color: inherit; margin: 0; }

.home { flex: 1; overflow: auto; overscroll-behavior: contain; padding: 24px 16px 16px; display: flex; flex-direction: column; gap: 16px; }
.hello { display: grid; gap: 4px; padding-inline: 4px; }
.hello p { margin: 0; }
.hello .title { font-size: 21px; line-height: 1.3; }
.home .button { flex: none; }
.talks { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: minmax(0, 1fr); gap: 4px; }
.talk { display: flex; align-items: center; gap: 12px; width: 100%; padding: 10px 8px; border-radius: calc(var(--radius) * .75); text-align: start; }
.talk:hover { background: var(--soft); }
.talk .words { flex: 1; min-width: 0; display: grid; grid-template-columns: minmax(0, 1fr); gap: 1px; }
.talk .line { display: flex; gap: 8px; align-items: center; justify-content: space-between; font-size: 14px; }
.talk .name { font-weight: 600; font-size: 15px; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.talk .aside { flex: none; font-size: 12px; }
.talk.fresh .cut { color: var(--text); font-weight: 600; }
.dot { position: relative; width: 10px; height: 10px; border-radius: 50%; background: var(--accent); }

.log { flex: 1; overflow: auto; overscroll-behavior: contain; padding: 16px; display: flex; flex-direction: column; gap: 10px; }
.log > :first-child { margin-block-start: auto; }
.log > .state:first-child { margin-block-start: 0; }
.said { position: relative; max-width: 86%; min-width: 0; align-self: flex-start; display: grid; gap: 6px; padding: 10px 14px; border-radius: 16px; border-end-start-radius: 5px; background: var(--soft); overflow-wrap: anywhere; }
.said.own { align-self: flex-end; border-radius: 16px; border-end-end-radius: 5px; background: var(--accent); color: var(--on-accent); }
.said.gone { background: none; color: var(--muted); border: 1px dashed var(--line); font-size: 14px; }
.said .body:empty { display: none; }
.said a:not(.button) { color: inherit; text-underline-offset: 2px; }
.said .name { display: flex; gap: 6px; align-items: center; color: var(--muted); font-size: 12px; line-height: 1.3; }
.said .mark { font-size: 12px; color: var(--muted); justify-self: end; }
.said.own .mark { color: inherit; }
.said .picture { border-radius: 10px; max-height: 220px; width: 100%; }
.said .shot { display: block; border-radius: 10px; }
.said .shot .picture { object-fit: contain; width: auto; max-width: 100%; }
.said .button { font-size: 14px; padding: 9px 14px; margin-block: 2px 4px; }
.file { display: flex; gap: 8px; align-items: center; min-width: 0; }
.file svg { flex: none; }
.file .size { flex: none; font-size: 12px; }
.said .offer { display: flex; gap: 10px; align-items: center; padding: 8px; border: 1px solid var(--line); border-radius: 10px; background: var(--surface); color: var(--text); text-decoration: none; }
.offer > span { display: grid; min-width: 0; }
.offer .size { font-size: 13px; color: var(--muted); }
.said .offer .picture { width: 56px; height: 56px; flex: none; object-fit: cover; }
.state { align-self: flex-end; margin-block-start: -6px; color: var(--muted); font-size: 12px; line-height: 1.4; }
.state:empty { display: none; }
.hint { margin-block: auto; color: var(--muted); text-align: center; text-wrap: balance; }
.types { color: var(--muted); font-size: 13px; }
.panel .foot { padding: 0 12px 12px; display: grid; gap: 8px; }
.composer .clip { color: var(--muted); }
.notice { padding: 8px 12px; border-radius: 10px; background: var(--soft); font-size: 14px; line-height: 1.4; }
.notice .link { display: block; padding: 4px 0; color: var(--text); text-decoration: underline; background: none; }
.uploads { display: flex; flex-wrap: wrap; gap: 6px; }
.upload { display: flex; align-items: center; max-width: 100%; padding-inline-start: 10px; border-radius: 10px; background: var(--soft); font-size: 13px; }
.upload .icon { width: 28px; height: 28px; }
.upload.busy .cut { color: var(--muted); }
.card { display: grid; gap: 10px; padding: 14px; border: 1px solid var(--line); border-radius: calc(var(--radius) * .75); }
.card .row { display: flex; gap: 8px; }
.card input[type=email], .card textarea { flex: 1; width: 100%; min-width: 0; padding: 9px 12px; border: 1px solid var(--muted); border-radius: 10px; background: var(--surface); resize: none; }
.card input[type=email]:focus, .card textarea:focus { border-color: var(--accent); outline: 1px solid var(--accent); }
.card .button { width: auto; padding: 9px 16px; }
.card .link { justify-self: start; padding: 2px 0; }
.card .link:hover { background: none; text-decoration: underline; }
.card input::placeholder, .card textarea::placeholder { color: var(--muted); opacity: 1; }
.card .thanks, .asked .thanks, .rate .thanks { margin: 0; color: var(--muted); text-align: center; }
.rate form, .rate .more { display: grid; gap: 10px; }
.rate fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
.rate legend { padding: 0; margin-inline: auto; font-weight: 600; text-align: center; }
.stars { display: flex; justify-content: center; gap: 2px; margin-block-start: 6px; }
.star { position: relative; padding: 2px 5px; font-size: 28px; line-height: 1.2; color: color-mix(in srgb, var(--muted) 55%, var(--surface)); cursor: pointer; border-radius: 8px; }
.star:hover { color: var(--muted); }
.star.lit { color: #e0a100; }
.star:focus-within { outline: 2px solid var(--accent); }
@media (max-width: 480px) {
  .panel { width: calc(100vw - 24px); height: min(600px, calc(100dvh - 24px)); }
  .card input[type=email], .card textarea { font-size: 16px; }
}
@media (prefers-reduced-motion: no-preference) { .panel { animation: rise .22s cubic-bezier(.2,.7,.3,1); } @keyframes rise { from { opacity: 0; transform: translateY(10px); } } }
@media (forced-colors: active) { .panel { border: 1px solid; } }
`;

/** Puts it beside the widget's own style, in the same shadow root. */
export function makeStyle(root) {
  const shadow = root.getRootNode();
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    shadow.adoptedStyleSheets = [...shadow.adoptedStyleSheets, sheet];
  } catch (e) {
    const { nonce } = shadow.querySelector('style') || {};
    shadow.append(h('style', { nonce }, STYLE));
  }
}
