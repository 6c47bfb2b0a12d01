// The stub that a page carries inline: it queues calls, with their time, until the core takes over the same object.
(function (w, c) {
  c = w.chimein = w.chimein || [];
  if (!c.track) {
    'track identify page group alias reset consent on off open close'.split(' ').forEach(function (m) {
      c[m] = function () {
        c.push([m, arguments, +new Date()]);
      };
    });
  }
})(window);
