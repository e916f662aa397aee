# Units of the package, for its scripts; each of them begins with these lines.
# What is enabled at the installation; docker-shim is for hosts with Docker Engine alone.
enabled='stowage-runtime-gateway.socket stowage-runtime-gateway-ro.socket stowage-image-service.socket
  stowage-runtime-gateway.service stowage-image-service.service stowage-gc-worker.service'
disabled='stowage-docker-shim.socket stowage-docker-shim.service'
