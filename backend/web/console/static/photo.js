// An operator's photo: what was chosen is cropped to a small square here, and sent. Without script the form sends it as it is.
(function () {
  "use strict";
  const form = document.querySelector("form[data-photo]");
  if (!form || !window.createImageBitmap || !window.DataTransfer) return;
  const field = form.elements.photo;
  const side = Number(form.dataset.photo);
  const failed = form.querySelector("[data-failed]");
  form.querySelector("button").hidden = true;

  async function square(file) {
    const picture = await createImageBitmap(file);
    const length = Math.min(picture.width, picture.height);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const brush = canvas.getContext("2d");
    brush.fillStyle = "#fff"; // behind what is transparent
    brush.fillRect(0, 0, side, side);
    brush.imageSmoothingQuality = "high";
    // Faces are rather in the upper part of an upright picture.
    brush.drawImage(picture, (picture.width - length) / 2, (picture.height - length) / 3, length, length, 0, 0, side, side);
    return new Promise((done, fail) => canvas.toBlob((blob) => (blob ? done(blob) : fail()), "image/jpeg", 0.9));
  }

  field.addEventListener("change", async () => {
    if (!field.files.length) return;
    failed.hidden = true;
    try {
      const chosen = new DataTransfer();
      chosen.items.add(new File([await square(field.files[0])], "photo.jpg", { type: "image/jpeg" }));
      field.files = chosen.files; // which is no change that anybody is told of
      form.requestSubmit();
    } catch (error) {
      field.value = "";
      failed.hidden = false;
    }
  });
})();
