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

// The spec may name PUBLIC_URL. Try the service where this page is: the Content-Security-Policy allows no other.
const HERE = { url: new URL(".", location).href.replace(/\/$/, ""), description: "this server" };
const OnlyThisServer = {
  statePlugins: {
    spec: {
      wrapActions: {
        updateJsonSpec: (original) => (spec) => original(spec.openapi ? { ...spec, servers: [HERE] } : spec),
      },
    },
  },
};

SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.spec,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  plugins: [() => OnlyWhatAPageCanSend, () => OnlyThisServer],
  tryItOutEnabled: true,
  validatorUrl: null,
});
