// In a file of its own: the page's Content-Security-Policy allows no inline script.

// A page cannot set Cookie. Swagger UI would take an account entered there and send the request without it: the
// operator's account would pay.
const OnlyWhatAPageCanSend = {
  statePlugins: {
    auth: {
      wrapSelectors: {
        definitionsToAuthorize: (original) => (...args) =>
          original(...args)?.filterNot((named) => named.first().get("in") === "cookie"),
      },
    },
  },
};

SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.spec,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  plugins: [() => OnlyWhatAPageCanSend],
  tryItOutEnabled: true,
  validatorUrl: null,
});
