// Of all tabs one shows a message, and only once ever.
const SETTLED = 300; // other tabs may be other processes, which see what was stored a little later

const after = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A function `(id, mayShow)` that resolves with 1 where this tab shall show it, with 0 where it was shown, else undefined. */
export function makeClaim({ get, inbox, locked, remember, set }, store) {
  // Plain http has no Web Locks: whoever wrote last, and still stands there a little later, has it.
  async function alone(id) {
    if (navigator.locks) return true;
    const mine = `${id} ${Math.random()}`;
    set('claim', mine);
    await after(SETTLED * (1 + Math.random()));
    return get('claim') === mine;
  }

  return async (id, mayShow) => {
    if (!(await alone(id))) return undefined;
    return new Promise((resolve) => {
      locked('show', () => {
        const over = store.read('shown', []).includes(id);
        if (!over && !mayShow()) return resolve();
        inbox.delete(id);
        resolve(over ? 0 : 1);
        if (over) return undefined;
        remember(id);
        return after(SETTLED);
      });
    });
  };
}
