// Answers every request on port 80.
var http = require('http');

http.createServer(function (request, response) {
  response.end('hello\n');
}).listen(80);
