(defproject hello "1.0.0"
  :dependencies [[org.clojure/clojure "1.12.5"]]
  :main hello.core)
