sprintf("hello")
